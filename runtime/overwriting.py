"""Whether somebody else writes into a database that this process has open, as `cp copy.db payment.db` does.

SQLite does not notice: it believes its cache and its log, and puts the pages of both files together. In WAL mode the
database itself changes only when a checkpoint copies the log into it, and the index of the log says that one was begun
before it writes the first page. So what changes without that is another's doing.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import NamedTuple

SAMPLE_BYTES = 65_536
"""What is compared where the time of a file's last change has moved: `touch` alone is no harm."""

_HEADER_BYTES = 48
_INDEX = struct.Struct("=14xHI12x8s8x48xI28xI")
"""The index of a log (`-shm`), twice its header and then what checkpoints have done: sqlite.org/walformat.html, 2.1."""


class _Index(NamedTuple):
    page_bytes: int
    frames: int
    """How many pages the log has."""
    salt: bytes
    """Another one each time that the log starts again."""
    copied: int
    copying: int
    """How many of its pages checkpoints have copied, and have begun to copy."""

    @property
    def begun(self) -> tuple[bytes, int]:
        """Changes before a checkpoint writes anything."""
        return self.salt, self.copying

    @property
    def log_bytes(self) -> int:
        return 32 + self.frames * (24 + self.page_bytes) if self.frames else 0


class _Content(NamedTuple):
    changed_at: int
    size: int
    sample: bytes


class Overwriting:
    """Looks on while SQLite has a database open.

    Its descriptors are opened after SQLite's and must be closed after them: to close any takes SQLite's locks away.
    """

    def __init__(self, database: int, log: Path, index: Path) -> None:
        """Begin; `database` is an open descriptor that stays the caller's."""
        self._database = database
        self._log = log
        self._index = os.open(index, os.O_RDONLY)
        self._settled: tuple[tuple[bytes, int], _Content] | None = None
        """The database as it was when no checkpoint was going on, and the last one that was begun before."""
        self.look()

    def close(self) -> None:
        """Close what was opened here."""
        os.close(self._index)

    def look(self) -> str | None:
        """What somebody else has done since the last look, or None."""
        before, content = self._read_index(), self._read_content()
        log_bytes = self._log_bytes()
        after = self._read_index()
        if before is None or after is None:  # it is being written just now, or it is no log's
            return None
        if before.salt == after.salt and log_bytes < before.log_bytes:
            return "the end of its log was cut off"
        settled, self._settled = self._settled, None
        if before.copied == before.copying and before.begun == after.begun:
            self._settled = after.begun, content
        if settled is None or settled[0] != after.begun or settled[1][1:] == content[1:]:
            return None
        return None if settled[1].changed_at == content.changed_at else "another program wrote into it"

    def _read_index(self) -> _Index | None:
        found = os.pread(self._index, _INDEX.size, 0)
        if len(found) < _INDEX.size or found[:_HEADER_BYTES] != found[_HEADER_BYTES : 2 * _HEADER_BYTES]:
            return None
        page_bytes, *rest = _INDEX.unpack(found)
        return _Index(65_536 if page_bytes == 1 else page_bytes, *rest)

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:  # who looks whether the files are there says so
            return sys.maxsize

    def _read_content(self) -> _Content:
        status = os.fstat(self._database)
        return _Content(status.st_mtime_ns, status.st_size, os.pread(self._database, SAMPLE_BYTES, 0))
