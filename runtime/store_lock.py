"""One process owns a store (R24): a lock that outlives no process, and tells whether the last owner ended well."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.sqlite import translated_errors


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
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
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

    def holder(self) -> str | None:
        """Who holds the lock now, or None."""
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return os.pread(descriptor, 200, 0).decode(errors="replace").strip()
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
