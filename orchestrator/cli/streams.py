"""The standard streams, made so that no shell, terminal or locale can end a command by them."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

ASCII_SPELLING = "kafka_saga.ascii"
"""An error handler of codecs: how characters are written that an output's encoding lacks."""

_SPELLINGS = {
    "…": "...", "│": "|", "─": "-", "–": "-", "—": "-", "→": "->", "·": ".", "•": "*", "×": "x", "µ": "u",
    "’": "'", "‘": "'", "“": '"', "”": '"', "✓": "+", "↶": "<", "▸": ">", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def prepare_streams() -> None:
    """Open what was closed (`>&-`), and let every character be printed, by an ascii spelling or as `?`.

    A descriptor that is closed would be given to the next file that is opened: a database, say, into which a
    library's careless word to standard error would then be written.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 -- for as long as we live
    codecs.register_error(ASCII_SPELLING, _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ASCII_SPELLING)


def settle_streams() -> None:
    """Write what is buffered; throw away what cannot be written, so that the interpreter's end does not stumble."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLINGS.get(character, "?") for character in lacking), error.end
