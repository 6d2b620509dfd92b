"""A copy of a SQLite database, made while its owner goes on writing.

SQLite's backup interface copies pages as they are, and says how far it is. `VACUUM INTO` takes about as long (150 MB:
1.2 to 1.8 s either way, two cores), says nothing meanwhile, cannot be interrupted, and may give rows new rowids, which
a service's own tables may rely on. The reader opens a snapshot first and copies from that: without one the copy would
start again at every commit of the owner, and under load never end. The owner is not held up; only its write-ahead log
cannot start again until the copy is made.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path

from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.errors import BrokenStoreError, RefusedError, StoreUnavailableError
from kafka_saga.runtime.sqlite import BUSY_TIMEOUT_MS, address, translated_errors

OnProgress = Callable[[int, int], None]
"""Told how many pages are copied, and of how many."""

PAGES_PER_STEP = 2_500
"""About 10 MB: some ten times a second there is something to tell."""


CUT_MS_MAX = 500
"""How long owners may be held up while the snapshots of a cut are opened; well below their own patience."""

CUT_TRIES_MAX = 20


@contextmanager
def one_cut(sources: Sequence[Path], *, pause: Callable[[], None]) -> Iterator[list[sqlite3.Connection]]:
    """Snapshots of all `sources` at one moment: no one of them knows of anything that another does not know of yet.

    All write locks are held at once while the snapshots are opened, which is some milliseconds in which owners wait.
    `pause` rests between two tries.

    Raises:
        StoreUnavailableError: a database is not there, or somebody holds its write lock for long.

    """
    with ExitStack() as stack:
        for attempt in range(CUT_TRIES_MAX):
            try:
                with ExitStack() as locks:
                    for source in sources:
                        _lock(locks, source)
                    snapshots = [stack.enter_context(closing(open_snapshot(source))) for source in sources]
                break
            except StoreUnavailableError:
                if attempt == CUT_TRIES_MAX - 1:
                    raise
                pause()
        yield snapshots


def _lock(locks: ExitStack, source: Path) -> None:
    """Hold the write lock of `source`; what is written meanwhile waits."""
    if not source.is_file():
        raise StoreUnavailableError(f"there is no database at {source}")
    with translated_errors(source):
        connection = locks.enter_context(
            closing(sqlite3.connect(address(source, "rw"), uri=True, isolation_level=None))
        )
        connection.execute(f"PRAGMA busy_timeout={CUT_MS_MAX}")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("BEGIN IMMEDIATE")


def open_snapshot(source: Path) -> sqlite3.Connection:
    """A connection that reads `source` as it is now, whatever its owner writes."""
    with translated_errors(source):
        origin = sqlite3.connect(address(source, "ro"), uri=True, isolation_level=None)
        try:
            origin.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            origin.execute("BEGIN")
            origin.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on the snapshot stands
        except BaseException:
            origin.close()
            raise
    return origin


def sha256_of(path: Path) -> str:
    """The file's SHA-256, as text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def back_up(
    source: Path,
    destination: Path,
    *,
    replaces: bool = False,
    on_progress: OnProgress,
    snapshot: sqlite3.Connection | None = None,
) -> int:
    """Copy the database `source` to `destination`, readable by its owner only; the copy's bytes.

    The copy appears under its name when it is whole, checked and on the disk, or not at all.

    Args:
        source: a database; another process may own it and write.
        destination: a file in a folder that exists.
        replaces: whether it may exist already.
        on_progress: called some times a second.
        snapshot: of `source`, where one was opened before (`one_cut`).

    Raises:
        RefusedError: the destination exists.
        StoreUnavailableError: the source is not there, or the destination cannot be written.
        BrokenStoreError: the source is damaged, or the disk is full.

    """
    if not source.is_file():
        raise StoreUnavailableError(f"there is no database at {source}")
    if destination.exists() and not replaces:
        raise RefusedError(f"{destination} exists: give another name, or replace it with --force")
    partial = destination.with_name(f".{destination.name}.{new_id()[:8]}.partial")
    try:
        with translated_errors(destination):
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with nullcontext(snapshot) if snapshot is not None else closing(open_snapshot(source)) as origin:
            _copy(origin, partial, destination, on_progress)
        _check(partial, source)
        with translated_errors(destination):
            sync(partial)
            partial.replace(destination)
            sync(destination.parent)
    finally:
        partial.unlink(missing_ok=True)
    return destination.stat().st_size


def _copy(origin: sqlite3.Connection, partial: Path, destination: Path, on_progress: OnProgress) -> None:
    with translated_errors(destination), closing(sqlite3.connect(partial, isolation_level=None)) as target:
        target.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")  # it is synced once, at the end
        origin.backup(
            target,
            pages=PAGES_PER_STEP,
            progress=lambda _status, remaining, total: on_progress(total - remaining, total),
        )


def _check(partial: Path, source: Path) -> None:
    """Read the copy as a restore would find it: without a log beside it."""
    with (
        translated_errors(partial),
        closing(sqlite3.connect(f"{address(partial, 'ro')}&immutable=1", uri=True, isolation_level=None)) as copy,
    ):
        [(verdict,)] = copy.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        raise BrokenStoreError(f"{source} is damaged ({verdict}): its copy was thrown away; restore an earlier one")


def sync(path: Path) -> None:
    """Have a file, or what a folder lists, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
