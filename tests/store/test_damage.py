"""Files that are not what SQLite wrote, and disks that take nothing more: refused in one sentence, and left alone."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from kafka_saga.orchestrator.operations.checks.database import check_store
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.participants.store import sqlite as participant_store
from kafka_saga.runtime import soundness
from kafka_saga.runtime.errors import BrokenStoreError
from kafka_saga.runtime.store_lock import StoreLock
from tests.contracts.stores import SetClock

PAGE = 4096
TABLE = "CREATE TABLE filler (id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX filler_text ON filler (text);"

Opener = Callable[[Path, bool], Awaitable[None]]


async def open_orchestrator(path: Path, after_crash: bool) -> None:
    if after_crash:
        path.with_name(path.name + ".lock").write_text("saga orchestrator (process 1)\n")
    store = await open_store(path, SetClock())
    await store.close()


async def open_participant(path: Path, after_crash: bool) -> None:
    store = await participant_store.open_store(path, after_crash=after_crash)
    await store.close()


openers = pytest.mark.parametrize("open_it", [open_orchestrator, open_participant])


async def fill(path: Path, open_it: Opener) -> int:
    """A store with a table of a thousand pages; how many pages the file has."""
    await open_it(path, False)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLE)
        connection.executemany("INSERT INTO filler (text) VALUES (?)", [(str(n) * 500,) for n in range(1_000)])
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size // PAGE


def overwrite(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(b"\xa5" * PAGE)


@openers
async def test_a_page_that_was_overwritten_in_the_middle_is_found_at_the_start(path: Path, open_it: Opener) -> None:
    overwrite(path, await fill(path, open_it) // 2)
    before = path.read_bytes()
    with pytest.raises(BrokenStoreError) as refused:
        await open_it(path, False)
    assert str(refused.value).startswith(f"{path} is damaged (")
    assert str(refused.value).endswith("): restore it from a backup")
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before
    assert StoreLock(path).holder() is None


@openers
async def test_a_large_file_is_checked_only_after_a_crash(
    path: Path, open_it: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = await fill(path, open_it)
    overwrite(path, pages // 2)
    monkeypatch.setattr(soundness, "CHECKED_BYTES_MAX", pages * PAGE - 1)
    await open_it(path, False)
    with pytest.raises(BrokenStoreError, match="is damaged"):
        await open_it(path, True)


def test_the_lock_tells_whether_its_last_owner_gave_it_back(path: Path) -> None:
    for expected in (False, False):
        lock = StoreLock(path)
        lock.acquire("the test")
        assert lock.after_crash is expected
        lock.release()
    killed = StoreLock(path)
    killed.acquire("the killed one")
    for descriptor in (killed._descriptor, killed._held):
        assert descriptor is not None
        os.close(descriptor)  # what the kernel does for a process that is killed
    after = StoreLock(path)
    after.acquire("the next")
    assert after.after_crash


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
async def test_a_lock_that_the_disk_does_not_take_is_one_sentence(
    path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(BrokenStoreError) as refused:
        await open_store(path, SetClock())
    assert str(refused.value) == (
        f"cannot write {path}: {os.strerror(number)}; free or mend the disk, then start again"
    )
    monkeypatch.undo()
    await (await open_store(path, SetClock())).close()


async def test_doctor_finds_an_index_that_does_not_match_its_table(path: Path) -> None:
    await fill(path, open_orchestrator)
    sound = {finding.check: finding.verdict for finding in (await check_store(path, None))[0]}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        row = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'filler_text'").fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'filler_text'")
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:  # one that knows nothing of the index
        connection.execute("INSERT INTO filler (text) VALUES ('unknown to the index')")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    await open_orchestrator(path, True)  # the quick check compares no index with its table
    found = {finding.check: finding for finding in (await check_store(path, None))[0]}
    assert sound["integrity"] == "ok"
    assert found["integrity"].verdict == "wrong"
    assert "missing from index filler_text" in found["integrity"].found
    assert "backup" in found["integrity"].remedy
