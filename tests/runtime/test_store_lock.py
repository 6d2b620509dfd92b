"""One owner of one file, whatever it is called, and only for as long as it is that file (R24)."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokenStoreError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.sqlite import open_inline
from kafka_saga.runtime.store_lock import WATCH_MS, StoreLock

HOLDER = """
import sqlite3, sys
from pathlib import Path
from kafka_saga.runtime.store_lock import StoreLock

lock = StoreLock(Path(sys.argv[1]))
lock.acquire("the holder")
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t (x); BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


class QuickClock(SystemClock):
    """Two seconds are as good as none."""

    def __init__(self) -> None:
        self.looks = 0

    async def sleep(self, duration_ms: int) -> None:
        assert duration_ms == WATCH_MS
        self.looks += 1
        await super().sleep(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "payment.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the file, in the middle of a transaction."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.processes
def test_a_symbolic_link_is_the_same_file_and_its_owner_is_named(
    path: Path, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "another.db"
    link.symlink_to(path)
    lock = StoreLock(link)
    with pytest.raises(StoreRefusedError, match=rf"another.db is in use by the holder \(process {holder.pid}\)"):
        lock.acquire("the test")
    assert lock.holder() == f"the holder (process {holder.pid})"


@pytest.mark.processes
def test_a_file_that_is_reached_by_another_way_is_locked_itself(
    path: Path, holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is mounted a second time: one name, another folder."""
    other = tmp_path / "mounted" / "payment.db"
    other.parent.mkdir()
    os.link(path, other)
    monkeypatch.setattr(StoreLock, "_check_names", lambda _self, _names: None)
    with pytest.raises(StoreRefusedError, match=r"payment.db is in use by another process, which calls the file by"):
        StoreLock(other).acquire("the test")
    assert holder.poll() is None


@pytest.mark.parametrize("by", ["old name", "new name"])
def test_a_file_with_two_names_is_refused_because_each_has_a_log(path: Path, by: str) -> None:
    path.touch()
    other = path.with_name("hard.db")
    os.link(path, other)
    lock = StoreLock(path if by == "old name" else other)
    with pytest.raises(StoreRefusedError, match=r"has 2 names \(hard links\).*find -samefile"):
        lock.acquire("the test")
    assert lock.holder() is None
    other.unlink()
    StoreLock(path).acquire("the test")


@pytest.mark.processes
def test_asking_for_the_owner_and_being_refused_leave_his_transaction_alone(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    """SQLite's locks on a file are lost when their process closes any descriptor of it: ours, and not the owner's."""
    for _ in range(3):
        assert StoreLock(path).holder() is not None
        with pytest.raises(StoreRefusedError):
            StoreLock(path).acquire("the test")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(path, timeout=0, isolation_level=None).execute("BEGIN IMMEDIATE")
    assert holder.poll() is None


@pytest.mark.processes
async def test_the_lock_keeps_sqlites_own_locks_while_its_owner_works(path: Path) -> None:
    lock = StoreLock(path)
    lock.acquire("the test")
    connection = await open_inline(path)
    await connection.run_script("CREATE TABLE t (x); BEGIN IMMEDIATE")
    lock.opened()
    assert lock.holder() is not None
    code = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path), stderr=asyncio.subprocess.PIPE)
    _, errors = await other.communicate()
    assert b"database is locked" in errors
    await connection.rollback()
    await connection.close()
    lock.release()
    StoreLock(path).acquire("the next")


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.touch()


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize(("change", "words"), [(_delete, "was deleted"), (_replace, "was replaced by another file")])
async def test_a_file_that_is_not_the_one_that_was_opened_any_more_ends_the_watch(
    path: Path, end: str, change: type, words: str
) -> None:
    lock = StoreLock(path)
    lock.acquire("the test")
    connection = await open_inline(path)
    await connection.run_script("CREATE TABLE t (x)")
    lock.opened()
    clock = QuickClock()
    watch = asyncio.create_task(lock.watch(clock))
    while clock.looks < 3:
        assert not watch.done()
        await SystemClock().sleep(1)
    change(path.with_name(path.name + end))
    with pytest.raises(BrokenStoreError, match=f"payment.db{end} {words} while this process had it open"):
        await watch
    await connection.close()
    lock.release()


@contextmanager
def clean(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def _copy_an_older_one_over_it(path: Path) -> None:
    shutil.copyfile(path.with_name("older.db"), path)


def _copy_another_over_it(path: Path) -> None:
    with clean(path.with_name("another.db")) as another:
        another.executescript("CREATE TABLE u (x); INSERT INTO u VALUES (randomblob(300000))")
    shutil.copyfile(path.with_name("another.db"), path)


def _cut_its_log(path: Path) -> None:
    os.truncate(f"{path}-wal", 100)


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("change", [_cut_to_nothing, _copy_an_older_one_over_it, _copy_another_over_it, _cut_its_log])
async def test_a_file_that_somebody_writes_into_ends_the_watch_although_it_is_the_same_file(
    path: Path, change: Callable[[Path], None], is_busy: bool
) -> None:
    lock = StoreLock(path)
    lock.acquire("the test")
    connection = await open_inline(path)
    await connection.run_script("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(90000));")
    await connection.run_script("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(path, path.with_name("older.db"))
    await connection.run_script("UPDATE t SET x = randomblob(90000); PRAGMA wal_checkpoint(TRUNCATE)")
    await connection.run_script("INSERT INTO t VALUES (1)")  # is in the log
    lock.opened()
    clock = QuickClock()
    watch = asyncio.create_task(lock.watch(clock))
    while clock.looks < 3:
        assert not watch.done()
        if is_busy:
            await connection.run_script("INSERT INTO t VALUES (1)")
        await SystemClock().sleep(1)
    change(path)
    with pytest.raises(BrokenStoreError, match=r"payment.db is not what it was: .* while this process had it open"):
        await watch
    with suppress(BrokenStoreError, sqlite3.Error):
        await connection.close()
    lock.release()
    after = StoreLock(path)
    after.acquire("the next")
    assert after.after_crash, "the next start looks closer"
    after.release()


async def test_checkpoints_of_its_own_however_many_and_touching_it_do_not_end_the_watch(path: Path) -> None:
    lock = StoreLock(path)
    lock.acquire("the test")
    connection = await open_inline(path)
    await connection.run_script("CREATE TABLE t (x); PRAGMA wal_autocheckpoint=5")
    lock.opened()
    clock = QuickClock()
    watch = asyncio.create_task(lock.watch(clock))

    def write_in_a_thread() -> None:
        # As slow commits are made; so that looks come in the middle of checkpoints.
        with clean(path) as other:
            other.execute("PRAGMA wal_autocheckpoint=3")
            for number in range(400):
                other.execute("INSERT INTO t VALUES (randomblob(?))", (number * 50,))
                if number % 50 == 0:
                    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                if number % 60 == 0:
                    other.executescript("DELETE FROM t; VACUUM")

    await asyncio.to_thread(write_in_a_thread)
    looks = clock.looks
    path.touch()
    while clock.looks < looks + 3:
        await SystemClock().sleep(1)
    assert not watch.done()
    watch.cancel()
    await connection.close()
    lock.release()


async def test_who_takes_the_lock_waits_for_those_who_only_ask(path: Path) -> None:
    asking = StoreLock(path)
    asking.acquire("a question")

    class Clock(SystemClock):
        async def sleep(self, duration_ms: int) -> None:
            asking.release()
            await super().sleep(duration_ms)

    lock = StoreLock(path)
    await lock.take("the test", Clock())
    assert (lock.holder() or "").startswith("the test")
    with pytest.raises(StoreRefusedError, match="in use by the test"):
        await StoreLock(path).take("another", SystemClock())
    lock.release()


def test_on_a_file_system_where_both_kinds_of_lock_are_one_the_database_can_be_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, where a lock of the whole file keeps SQLite's out."""
    held: set[int] = set()
    flock, lockf = fcntl.flock, fcntl.lockf

    def as_flock(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        (held.discard if operation == fcntl.LOCK_UN else held.add)(os.fstat(descriptor).st_ino)

    def as_lockf(descriptor: int, operation: int, length: int, start: int) -> None:
        if os.fstat(descriptor).st_ino in held:
            raise BlockingIOError
        lockf(descriptor, operation, length, start)

    monkeypatch.setattr(fcntl, "flock", as_flock)
    monkeypatch.setattr(fcntl, "lockf", as_lockf)
    lock = StoreLock(path)
    lock.acquire("the test")
    assert path.stat().st_ino not in held
    with pytest.raises(StoreRefusedError, match="in use by the test"):
        StoreLock(path).acquire("another")
    lock.release()


def test_a_file_system_without_locks_is_refused_in_words(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreUnavailableError, match=r"payment.db cannot be locked \(No locks available\)"):
        StoreLock(path).acquire("the test")
    assert StoreLock(path).holder() is None


async def test_what_took_the_files_place_is_left_alone_when_the_old_one_is_closed(path: Path) -> None:
    lock = StoreLock(path)
    lock.acquire("the test")
    connection = await open_inline(path)
    await connection.run_script("CREATE TABLE t (x); INSERT INTO t VALUES ('old')")
    lock.opened()
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    fresh = sqlite3.connect(path, isolation_level=None)
    fresh.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (x); INSERT INTO t VALUES ('new')")
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size
    await connection.close()
    lock.release()
    assert log.stat().st_size == size
    assert fresh.execute("SELECT x FROM t").fetchall() == [("new",)]
    fresh.close()
    assert sqlite3.connect(path).execute("SELECT x FROM t").fetchall() == [("new",)]
