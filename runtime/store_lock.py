"""One process owns a store (R24): a lock that outlives no process, and tells whether the last owner ended well."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.sqlite import translated_errors


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock, and the file that it has open: device and inode; None until it has said so."""

    text: str
    file: tuple[int, int] | None = None

    def lost(self, store: Path) -> str | None:
        """What became of the file that the owner has open, where `store` is not it any more; else None."""
        if self.file is None:
            return None
        there = identity(store)
        if there is None:
            return f"{store} was deleted while {self.text} has it open"
        return None if there == self.file else f"{store} is not the file that {self.text} has open: it was replaced"


def identity(path: Path) -> tuple[int, int] | None:
    """What a file is whatever it is called: its device and inode. None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class StoreLock:
    """`flock` on `<store>.lock`, held by the one process that owns the store (R24)."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._path = store.with_name(store.name + ".lock")
        self._descriptor: int | None = None
        self.after_crash = False
        """Set by `acquire`: the owner before did not give the lock back, so it was killed, or the machine stopped."""

    def acquire(self, owner: str) -> None:
        """Take the lock.

        Raises:
            StoreRefusedError: another process holds it; the message names it.
            StoreUnavailableError, BrokenStoreError: the lock cannot be written.

        """
        with translated_errors(self._store):
            self._acquire(owner)

    def _acquire(self, owner: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read_owner(os.pread(descriptor, _BYTES_MAX, 0)).text or "another process"
            os.close(descriptor)
            store = self._store.name
            raise StoreRefusedError(f"{store} is in use by {holder}: stop it first, or choose another file") from error
        line = f"{owner} (process {os.getpid()})\n".encode()
        try:
            self.after_crash = os.fstat(descriptor).st_size > 0
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def opened(self) -> None:
        """Note which file is open now, so that everybody can see when another one takes its place."""
        file = identity(self._store)
        assert self._descriptor is not None, "acquire() comes first"
        if file is not None:
            size = os.fstat(self._descriptor).st_size
            with translated_errors(self._store):
                os.pwrite(self._descriptor, b"%d:%d\n" % file, size)

    def holder(self) -> str | None:
        """Who holds the lock now, or None."""
        owner = self.owner()
        return None if owner is None else owner.text

    def owner(self) -> Owner | None:
        """Who holds the lock now, and which file he has open; None where nobody does."""
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read_owner(os.pread(descriptor, _BYTES_MAX, 0))
        else:
            return None
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the lock back. The file stays, empty: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            with suppress(OSError):  # a disk that cannot even do this: the next start checks the store, as it should
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


_BYTES_MAX = 400


def _read_owner(content: bytes) -> Owner:
    text, _, file = content.decode(errors="replace").strip().partition("\n")
    device, _, inode = file.partition(":")
    if device.isdecimal() and inode.isdecimal():
        return Owner(text, (int(device), int(inode)))
    return Owner(text)


def deleted_files() -> dict[Path, list[int]]:
    """Deleted files that processes of ours still have open, with these. Only Linux tells; elsewhere there are none."""
    found: dict[Path, set[int]] = {}
    for directory in Path("/proc").glob("[0-9]*/fd"):
        try:
            links = {str(descriptor.readlink()) for descriptor in directory.iterdir()}
        except OSError:  # another user's, or it has just ended
            continue
        for link in links:
            if link.endswith(_DELETED):
                found.setdefault(Path(link.removesuffix(_DELETED)), set()).add(int(directory.parent.name))
    return {path: sorted(processes) for path, processes in found.items()}


_DELETED = " (deleted)"
