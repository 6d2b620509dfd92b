"""The store as a file: who may open it, who may read beside its owner, and which versions of it are understood."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from pathlib import Path

import pytest

from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.store import migrations
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.port import Batch
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sqlite import SqliteStore, open_store
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.errors import BrokenStoreError, NotFoundError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.sqlite import open_inline
from kafka_saga.runtime.store_lock import StoreLock
from tests.contracts.stores import NOW, SetClock, cancel, connection_of, move, new_saga, start, start_running, success

HOLDER = """
import asyncio, sys
from pathlib import Path
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock

async def hold():
    await open_store(Path(sys.argv[1]), SystemClock())
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_store(path, SetClock())
    yield store
    await store.close()


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def newest_migration() -> int:
    files = resources.files(migrations.__name__).iterdir()
    return max(int(file.name[:4]) for file in files if file.name.endswith(".sql"))


def sql(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(statement).fetchall()
    connection.commit()
    connection.close()
    return rows


def expect_no_more_threads(than: list[threading.Thread]) -> None:
    """A connection left open has a thread, which would keep the process from ending."""
    for thread in set(threading.enumerate()) - set(than):
        thread.join(timeout=10)
        assert not thread.is_alive(), thread


async def test_a_new_store_has_every_migration_once(store: SqliteStore, path: Path) -> None:
    assert store.store_id
    versions = [row[0] for row in sql(path, "SELECT version FROM schema_version ORDER BY version")]
    assert versions == list(range(1, newest_migration() + 1))


async def test_opening_a_store_again_migrates_nothing(path: Path) -> None:
    for _ in range(2):
        store = await open_store(path, SetClock())
        await store.close()
    assert len(sql(path, "SELECT version FROM schema_version")) == newest_migration()


async def test_a_store_of_a_newer_program_is_refused_in_one_line(path: Path) -> None:
    await (await open_store(path, SetClock())).close()
    newer = newest_migration() + 1
    sql(path, f"INSERT INTO schema_version VALUES ({newer}, 'from the future')")
    threads = threading.enumerate()
    with pytest.raises(StoreRefusedError) as refused:
        await open_store(path, SetClock())
    assert str(refused.value) == (
        f"{path} has schema version {newer}, this program knows versions up to {newer - 1}: "
        "run the newer kafka-saga that wrote it"
    )
    assert StoreLock(path).holder() is None, "a refused start must not leave the lock behind"
    expect_no_more_threads(threads)


async def test_a_migration_that_was_cut_off_is_done_again(path: Path) -> None:
    connection = await open_inline(path)
    first = next(f for f in resources.files(migrations.__name__).iterdir() if f.name.startswith("0001"))
    await connection.run_script("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT)")
    await connection.run_script(f"BEGIN IMMEDIATE; {first.read_text()}")  # and the process dies here
    await connection.close()
    store = await open_store(path, SetClock())
    await start(store, new_saga())
    await store.close()
    assert sql(path, "SELECT saga_id FROM sagas") == [("order-1",)]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"an order list, not a database\n" * 100)
    with pytest.raises(BrokenStoreError, match=r"orchestrator\.db is no SQLite database"):
        await open_store(path, SetClock())
    assert path.read_bytes().startswith(b"an order list")


async def test_the_file_is_readable_by_its_owner_only(store: SqliteStore, path: Path) -> None:
    await start(store, new_saga())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert {path.name, f"{path.name}-wal", f"{path.name}.lock"} <= set(modes)


@pytest.mark.processes
async def test_a_second_orchestrator_is_refused_and_told_who_has_the_store_R24(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(StoreRefusedError) as refused:
        await open_store(path, SetClock())
    assert f"orchestrator.db is in use by saga orchestrator (process {holder.pid})" in str(refused.value)
    assert StoreLock(path).holder() == f"saga orchestrator (process {holder.pid})"


@pytest.mark.processes
async def test_everybody_can_see_that_the_owner_lost_its_file_R24(path: Path) -> None:
    store = await open_store(path, SetClock())
    owner = StoreLock(path).owner()
    assert owner is not None
    assert owner.lost(path) is None
    path.rename(path.with_suffix(".away"))
    assert "was deleted while saga orchestrator (process" in (owner.lost(path) or "")
    path.touch()
    assert "it was replaced" in (owner.lost(path) or "")
    await store.close()


async def test_a_killed_owner_leaves_no_lock_behind_R24(path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    store = await open_store(path, SetClock())
    await start(store, new_saga())
    await store.close()


async def test_a_reader_beside_the_writer_sees_what_is_committed_R24(store: SqliteStore, path: Path) -> None:
    await start(store, new_saga())
    reader = await StoreReader.open(path)
    assert (await reader.find("order-1")).state == "PENDING"
    running = await move(store, Admitted())
    assert await reader.find("order-1") == running
    assert [entry.status for entry in await reader.log(running)] == ["IN_PROGRESS"]
    await reader.close()


async def test_a_reader_does_not_hold_up_the_writer_R24(store: SqliteStore, path: Path) -> None:
    await start_running(store)
    reader = await StoreReader.open(path)
    await connection_of(reader.tables).execute("BEGIN")
    await reader.find("order-1")
    after = await move(store, success("reserve_inventory", reservation_id="r-1"))
    assert (await reader.find("order-1")).version == after.version - 1, "its snapshot is older"
    await reader.close()


async def test_a_reader_cannot_write_R24(store: SqliteStore, path: Path) -> None:
    await start(store, new_saga())
    reader = await StoreReader.open(path)
    with pytest.raises((BrokenStoreError, sqlite3.OperationalError), match="readonly"):
        await connection_of(reader.tables).execute("DELETE FROM sagas")
    await reader.close()


async def test_a_reader_takes_any_file_name(tmp_path: Path) -> None:
    path = tmp_path / "shop #1, 100% mine?.db"
    store = await open_store(path, SetClock())
    await start(store, new_saga())
    reader = await StoreReader.open(path)
    assert (await reader.find("order-1")).ref.saga_id == "order-1"
    await reader.close()
    await store.close()


async def test_reading_a_file_that_is_no_database_names_it(path: Path) -> None:
    path.write_bytes(b"an order list, not a database\n" * 100)
    threads = threading.enumerate()
    with pytest.raises(BrokenStoreError, match=r"orchestrator\.db is no SQLite database"):
        await StoreReader.open(path)
    expect_no_more_threads(threads)


async def test_reading_a_store_that_is_not_there_says_what_to_do(path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="start `saga orchestrator` first"):
        await StoreReader.open(path)
    assert not path.exists()


async def test_an_id_that_two_types_have_must_be_said_with_its_type(store: SqliteStore, path: Path) -> None:
    await start(store, new_saga())
    sql(path, "INSERT INTO sagas SELECT 99, 'other', saga_id, 1, state, 0, data, steps, NULL, NULL, NULL, 0, 0,"
              " request_hash, created_at, updated_at, NULL, NULL, NULL FROM sagas")  # fmt: skip
    reader = await StoreReader.open(path)
    with pytest.raises(NotFoundError, match=r"--type \(order, other\)"):
        await reader.find("order-1")
    assert (await reader.find("order-1", "other")).ref.saga_type == "other"
    with pytest.raises(NotFoundError, match="there is no saga 'order-1' of type 'third'"):
        await reader.find("order-1", "third")
    await reader.close()


async def test_a_long_absent_saga_is_read_from_the_file_as_it_was_kept(path: Path) -> None:
    store = await open_store(path, SetClock())
    running = await start_running(store)
    await store.close()
    reopened = await open_store(path, SetClock())
    assert (await reopened.load([running.ref]))[running.ref].saga == running
    await reopened.commit(Batch(NOW))
    await reopened.close()


async def test_who_asks_for_the_owner_does_not_keep_an_orchestrator_from_starting_R24(path: Path) -> None:
    asking = StoreLock(path)
    asking.acquire("a question")

    class Clock(SetClock):
        async def sleep(self, duration_ms: int) -> None:
            asking.release()  # it was answered meanwhile
            await super().sleep(duration_ms)

    store = await open_store(path, Clock())
    assert "saga orchestrator" in (StoreLock(path).holder() or "")
    await store.close()


async def test_an_act_is_written_beside_the_owner_and_leaves_the_checkpoints_to_it_R25(
    store: SqliteStore, path: Path
) -> None:
    queue = await ActQueue.open(path)
    [(pages,)] = await connection_of(queue.tables).fetch_all("PRAGMA wal_autocheckpoint")
    [(synchronous,)] = await connection_of(queue.tables).fetch_all("PRAGMA synchronous")
    assert (pages, synchronous) == (0, 2)
    assert await queue.send([cancel("act-1"), cancel("act-2"), cancel("act-1")], NOW) == 2
    assert await store.waiting_acts(10) == [cancel("act-1"), cancel("act-2")]
    await queue.close()


async def test_a_saga_is_found_by_its_id_alone_without_reading_the_others(store: SqliteStore, path: Path) -> None:
    await start(store, new_saga("order-1"), new_saga("order-2"))
    reader = await StoreReader.open(path)
    assert (await reader.find("order-2")).ref.saga_id == "order-2"
    assert (await reader.find("order-2", "order")).ref.saga_id == "order-2"
    with pytest.raises(NotFoundError):
        await reader.find("order-2", "shipment")
    plan = await connection_of(reader.tables).fetch_all(f"EXPLAIN QUERY PLAN {SQL['find']}", ("order-2", None))
    assert "SCAN sagas" not in [row[3] for row in plan]
    assert any("saga_type=? AND saga_id=?" in row[3] for row in plan)
    await reader.close()
