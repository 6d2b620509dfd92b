"""One process owns a store (R24): a lock that outlives no process, and tells whether the last owner ended well.

There are two locks. That on `<store>.lock` names the owner, and anybody may ask for it. That on the database itself
holds whatever the file is called: by a symbolic or a hard link, or mounted a second time. SQLite's own locks are of
another kind (`fcntl`), so the two do not meet; but a process that closes *any* descriptor of a database loses those of
SQLite on it. So the descriptor is opened before SQLite opens the file and closed after SQLite has closed it, and who
only asks never opens the database.
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokenStoreError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.overwriting import Overwriting
from kafka_saga.runtime.sqlite import translated_errors

WATCH_MS = 2_000
"""How often an owner looks whether it still is one: `stat`s and some pages here, one small request to Kafka (R22)."""

TRIES_MAX = 5
PAUSE_MS = 20
"""A question takes microseconds; an owner who is really there still refuses us within a tenth of a second."""


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
    """The locks of a store, held by the one process that owns it (R24)."""

    def __init__(self, store: Path) -> None:
        self.store = store
        # Where SQLite keeps its log, too: beside the file that a symbolic link leads to.
        self._file = Path(os.path.realpath(store))
        self._path = self._file.with_name(self._file.name + ".lock")
        self._descriptor: int | None = None
        self._held: int | None = None
        """The database itself, open for nothing but its lock."""
        self._opened: dict[Path, tuple[int, int] | None] = {}
        self._overwriting: Overwriting | None = None
        self._is_lost = False
        self.after_crash = False
        """Set by `acquire`: the owner before did not give the lock back, so it was killed, or the machine stopped."""

    async def take(self, owner: str, clock: Clock) -> None:
        """As `acquire`, past those who only ask whether somebody holds the lock, and hold it for that themselves."""
        for _ in range(TRIES_MAX - 1):
            try:
                self.acquire(owner)
            except StoreRefusedError:
                await clock.sleep(PAUSE_MS)
            else:
                return
        self.acquire(owner)

    def acquire(self, owner: str) -> None:
        """Take the locks; an empty database is made where there is none.

        Raises:
            StoreRefusedError: another process holds them, and the message names it; or the database has several names.
            StoreUnavailableError, BrokenStoreError: the lock cannot be written.

        """
        with translated_errors(self.store):
            self._acquire(owner)

    def _acquire(self, owner: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._lock(descriptor)
            self._held = self._hold()
            self.after_crash = os.fstat(descriptor).st_size > 0
            line = f"{owner} (process {os.getpid()})\n".encode()
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
        except BaseException:
            self._let_go()
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _hold(self) -> int | None:
        """Lock the database itself; None for what is no ordinary file, which whoever opens it refuses."""
        if self._file.exists() and not self._file.is_file():
            return None
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._check_names(os.fstat(descriptor).st_nlink)
            self._lock(descriptor, "another process, which calls the file by another name (a link, or a mount)")
            if _meets_sqlite(descriptor):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check_names(self, names: int) -> None:
        # Each name has a log of its own: what was committed under one is missing under the other, and pages of both
        # end up in one file.
        if names > 1:
            raise StoreRefusedError(
                f"{self.store} has {names} names (hard links), and SQLite keeps a log for each: remove the others "
                f"(`find -samefile {self._file.name}` lists them), or use a copy that `saga backup` makes"
            )

    def _lock(self, descriptor: int, holder: str = "") -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = holder or _read_owner(os.pread(descriptor, _BYTES_MAX, 0)).text or "another process"
            store = self.store.name
            raise StoreRefusedError(f"{store} is in use by {holder}: stop it first, or choose another file") from error
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.store} cannot be locked ({error.strerror}), so nothing would keep two processes from it: put "
                "it on a file system with locks, as a local disk has"
            ) from error

    def opened(self) -> None:
        """Note which files are open now, so that everybody can see when others take their place."""
        assert self._descriptor is not None, "acquire() comes first"
        logs = [self._file.with_name(self._file.name + end) for end in ("-wal", "-shm")]
        self._opened = {self.store: identity(self.store)}
        self._opened |= {log: there for log in logs if (there := identity(log)) is not None}
        file = self._opened[self.store]
        if file is not None:
            size = os.fstat(self._descriptor).st_size
            with translated_errors(self.store):
                os.pwrite(self._descriptor, b"%d:%d\n" % file, size)
        if self._held is not None and len(self._opened) > len(logs):
            self._overwriting = Overwriting(self._held, *logs)

    async def watch(self, clock: Clock) -> None:
        """Look every two seconds whether the files that are open are still those under their names; never returns.

        Raises:
            BrokenStoreError: one was deleted, replaced or written to, so that nothing more should be written.

        """
        while True:
            await clock.sleep(WATCH_MS)
            became = self._became()
            if became is not None:
                self._is_lost = True
                raise BrokenStoreError(
                    f"{became} while this process had it open: it stops, because what it would write "
                    f"now is lost; restore {self.store} from a backup, then start again"
                )

    def _became(self) -> str | None:
        """What became of the files that are open; None where they are as they should be."""
        for path, opened in self._opened.items():
            there = identity(path)
            if there != opened:
                return f"{path} was {'deleted' if there is None else 'replaced by another file'}"
        with translated_errors(self.store):
            found = None if self._overwriting is None else self._overwriting.look()
        return None if found is None else f"{self.store} is not what it was: {found}"

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
        except BlockingIOError:
            return _read_owner(os.pread(descriptor, _BYTES_MAX, 0))
        except OSError:
            return None  # nobody can hold it there
        else:
            return None
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the locks back, after the database was closed.

        The file stays, empty: removing it would let two processes lock two files.
        """
        if self._descriptor is not None:
            if not self._is_lost:  # else the next start checks the store, as after a crash
                with suppress(OSError):  # a disk that cannot even do this: the next start checks it, too
                    os.ftruncate(self._descriptor, 0)
            self._let_go()
            os.close(self._descriptor)
            self._descriptor = None

    def _let_go(self) -> None:
        overwriting, self._overwriting = self._overwriting, None
        if overwriting is not None:
            overwriting.close()
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


_BYTES_MAX = 400

_BEYOND_SQLITE = 1 << 62
"""A byte of a file that SQLite never locks."""


def _meets_sqlite(descriptor: int) -> bool:
    """Whether this lock keeps SQLite's out, which are of another kind: on network file systems, and not on Linux.

    There both are one. Then only the lock by name is held, as everywhere but on Linux.
    """
    if sys.platform != "linux":
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _BEYOND_SQLITE)
    except OSError:
        return True
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _BEYOND_SQLITE)
    return False


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
