"""A note in a data directory: its first line is an address, and a living process holds a lock on it (`flock`).

A note that nobody holds was left behind by a process that was killed. Of several processes the first has it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

_BYTES_MAX = 1_000


class Note(NamedTuple):
    """What a note says, and whether the process that wrote it still lives."""

    path: Path
    address: str
    is_held: bool


class HeldNote:
    """The note, for the process that writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Make the file and hold its lock; it says nothing yet.

        Raises:
            BlockingIOError: another process holds it.
            OSError: the file cannot be written.

        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def write(self, address: str, remark: str) -> None:
        """Say where something is served; `remark` is for people who find the file."""
        assert self._descriptor is not None, "take() comes first"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{address}\n# {remark}\n".encode(), 0)

    def remove(self) -> None:
        """Take the file away and give the lock back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(descriptor)


def read_note(path: Path) -> Note | None:
    """What the file says; None where there is none, or nothing in it yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        lines = os.pread(descriptor, _BYTES_MAX, 0).decode(errors="replace").splitlines()
        is_held = _is_held(descriptor)
    except OSError:  # a folder
        return None
    finally:
        os.close(descriptor)
    return Note(path, lines[0].strip(), is_held) if lines and lines[0].strip() else None


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
