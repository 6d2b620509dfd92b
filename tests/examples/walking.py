"""Follows a page to the letter, as a reader would: writes its files, types its commands, compares what they print.

A block that begins with a comment of nothing but a path (`# shop.py`, `// Payment.java`) is that file. `$ …` in a block
of `console` is a command; below it stands what it prints. `saga up` goes on beside what follows, until the page starts
it anew. What only looks is looked at again until it says what the page shows. A remark `# exit code 1` says what to
expect.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.demo.upper import PATIENCE_S, Up
from tests.examples.console import Shown, missing, shown_in

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"\A(?:#|//) ([\w./-]+\.\w+)\n")
_ONLY_LOOKS = re.compile(r"saga (explain|show|log|list|acts|health|dlq list|lag)\b")
_EXIT_CODE = re.compile(r"# .*\bexit code (\d+)")
LOOKS_MAX = 100
"""A look takes half a second or more."""
SHOWN_ONLY = frozenset({"text", "json"})
"""Blocks in these languages are pictures of something."""


class Walk:
    """One reader, in one folder.

    Args:
        folder: where files are written and commands typed.
        variables: of the reader's shell; `PATH` among them.
        skipped: beginnings of commands that are not typed, each with the reason.

    """

    def __init__(self, folder: Path, variables: Mapping[str, str], skipped: Collection[str] = ()) -> None:
        self.folder = folder
        self.typed: list[str] = []
        self.written: list[str] = []
        self._variables = {**variables, "COLUMNS": "400"}  # a page prints no line in two
        self._skipped = tuple(skipped)
        self._up: Up | None = None

    def follow(self, page: Path) -> None:
        """Everything on the page, from the top to the bottom."""
        for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
            named = _NAMED.match(block)
            if named is not None:
                path = self.folder / named[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block, encoding="utf-8")
                self.written.append(named[1])
            elif language == "console":
                for shown in shown_in(block):
                    self.type(shown)
            else:
                assert language in SHOWN_ONLY, f"{page.name}: a block that is neither a file nor commands:\n{block}"

    def type(self, shown: Shown) -> None:
        """One command."""
        if shown.bare.startswith(self._skipped):
            return
        self.typed.append(shown.bare)
        if shown.bare.startswith("saga up"):
            self._start(shown)
            return
        wrong = self._wrong(shown)
        for _again in range(LOOKS_MAX if _ONLY_LOOKS.match(shown.bare) else 0):
            wrong = wrong and self._wrong(shown)
        assert wrong == "", f"$ {shown.command}\n{wrong}\n{self.told()}"

    def told(self) -> str:
        """What `saga up` said last."""
        return "" if self._up is None else "\n".join(self._up.lines[-30:])

    def stop(self) -> None:
        """Stop `saga up`, where it runs, as Ctrl-C does."""
        if self._up is not None:
            with self._up.process:
                assert self._up.stop() == 0, self.told()
            self._up = None

    def kill(self) -> None:
        """Leave nothing behind."""
        if self._up is not None:
            with self._up.process as process:
                process.kill()

    def _start(self, shown: Shown) -> None:
        self.stop()
        process = subprocess.Popen(
            ["bash", "-c", f"exec {shown.bare}"],
            cwd=self.folder, env=self._variables, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._up = Up(process, self.folder)
        self._up.until("everything is ready")
        said = "\n".join(self._up.lines)
        assert missing(shown, said) == [], said

    def _wrong(self, shown: Shown) -> str:
        done = subprocess.run(
            ["bash", "-c", shown.command],
            cwd=self.folder, env=self._variables, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=2 * PATIENCE_S, check=False,
        )  # fmt: skip
        expected = int(found[1]) if (found := _EXIT_CODE.search(shown.command)) else 0
        said = done.stdout + done.stderr
        if done.returncode != expected:
            return f"exit code {done.returncode}, not {expected}:\n{said}"
        lines = missing(shown, said)
        return f"never said: {lines}, but\n{said}" if lines else ""


@contextmanager
def walking(folder: Path, variables: Mapping[str, str], skipped: Collection[str] = ()) -> Iterator[Walk]:
    """A reader, whose system is stopped when the page is through, and killed where something went wrong."""
    walk = Walk(folder, variables, skipped)
    try:
        yield walk
        walk.stop()
    finally:
        walk.kill()
