"""A store that moves from a file to PostgreSQL: nothing is lost, and never may both be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.orchestrator.machine.states import ACTIVE, SagaState
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining
from kafka_saga.orchestrator.store.port import Batch, Outage
from kafka_saga.orchestrator.store.postgres.moving import Moved
from kafka_saga.orchestrator.store.postgres.moving import move as move_store
from kafka_saga.orchestrator.store.postgres.store import open_store as open_postgres
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import NOW, SetClock, move, new_saga, start, success
from tests.store.beside import fill

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres import moving
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl

moving.MOVED_ROWS_MAX = 2
path, url, at, rows = sys.argv[1:]

def show(what, done, total):
    if what == at and done >= int(rows):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(moving.move(Path(path), PostgresLocation(PostgresUrl(url)), SystemClock(), show))
"""


@pytest.fixture
async def file(path: Path) -> Path:
    await fill(path)
    return path


@pytest.fixture
def at(postgres_url: PostgresUrl) -> PostgresLocation:
    return PostgresLocation(postgres_url)


@pytest.fixture
async def server(at: PostgresLocation) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(at.url.secret_text)
    yield connection
    await connection.close()


async def moved(file: Path, at: PostgresLocation) -> Moved:
    return await move_store(file, at, SystemClock(), lambda *_: None)


def killed(file: Path, at: PostgresLocation, what: str, rows: int = 0) -> None:
    """A copy that is killed once it says so."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(file), at.url.secret_text, what, str(rows)], check=False)
    assert done.returncode == -signal.SIGKILL


async def test_everything_comes_over_under_the_same_id_and_is_counted(file: Path, at: PostgresLocation) -> None:
    before = await open_store(file, SetClock())
    store_id, offsets, outbox = before.store_id, await before.offsets(), await before.outbox()
    await before.close()
    done = await moved(file, at)
    assert (done.store_id, done.rows["sagas"], done.rows["purged"], done.rows["acts"]) == (store_id, 8, 3, 4)
    store = await open_postgres(at, SystemClock())
    await store.members.join(Joining("pod-1", "1", "[]", 1_000, 4))
    assert (store.store_id, await store.offsets()) == (store_id, offsets)
    assert [row.messages for row in await store.members.inherit()] == [row.messages for row in outbox]
    assert await store.outage() == Outage(NOW - 5, is_on=True)
    assert store.now() >= NOW, "its clock does not go back (R27)"
    states = await store.count_states()
    assert store.sums.in_flight == sum(states.get(state, 0) for state in ACTIVE)
    assert store.sums.pending == states[SagaState.PENDING]
    await start(store, new_saga("order-9"))
    new = (await store.load([SagaRef("order", "order-9")]))[SagaRef("order", "order-9")].saga
    assert new.row > max((await store.load([SagaRef("order", "waits-2")]))[SagaRef("order", "waits-2")].saga.row, 0)
    await store.close()


async def test_a_moved_file_is_used_by_nobody_any_more(file: Path, at: PostgresLocation) -> None:
    await moved(file, at)
    for opened in (open_store(file, SetClock()), StoreReader.open(file), ActQueue.open(file)):
        with pytest.raises(StoreRefusedError, match=rf"{file.name} was moved to postgresql://.*: start with SA"):
            await opened


async def test_a_copy_that_is_done_can_be_run_again(file: Path, at: PostgresLocation) -> None:
    first = await moved(file, at)
    again = await moved(file, at)
    assert (again.was_done, again.store_id) == (True, first.store_id)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("what", "rows"),
    [("definitions", 0), ("sagas", 3), ("step_log", 14), ("acts", 20), ("checking", 0), ("finishing", 0)],
)
async def test_a_copy_that_is_killed_goes_on_where_it_was(
    file: Path, at: PostgresLocation, server: asyncpg.Connection, what: str, rows: int
) -> None:
    killed(file, at, what, rows)
    with pytest.raises(StoreRefusedError, match="is not finished: run its `saga store copy` again"):
        await StoreReader.open(at)
    with pytest.raises(StoreRefusedError, match="is not finished"):
        await open_postgres(at, SystemClock())
    if what == "finishing":
        with pytest.raises(StoreRefusedError, match="was moved to"):
            await open_store(file, SetClock())
    done = await moved(file, at)
    assert not done.was_done
    for table, count in done.rows.items():
        assert await server.fetchval(f"SELECT count(*) FROM saga.{table}") == count, table


@pytest.mark.processes
async def test_where_the_file_was_used_since_the_copy_begins_again(
    file: Path, at: PostgresLocation, server: asyncpg.Connection
) -> None:
    killed(file, at, "checking")
    clock = SetClock()
    clock.at_ms += 1
    store = await open_store(file, clock)
    saga = await move(store, success("reserve_inventory", reservation_id="r-9"), "order-3", clock.at_ms)
    await store.commit(Batch(clock.at_ms))
    await store.close()
    await moved(file, at)
    query = "SELECT version FROM saga.sagas WHERE saga_id = 'order-3'"
    assert await server.fetchval(query) == saga.version


async def test_a_database_that_is_in_use_is_refused_and_the_file_left_as_it_was(
    file: Path, at: PostgresLocation
) -> None:
    store = await open_postgres(at, SystemClock())
    await store.members.join(Joining("pod-1", "1", "[]", 1_000, 4))
    await store.close()
    with pytest.raises(StoreRefusedError, match="is not empty, it has replicas: name another database, or another s"):
        await moved(file, at)
    await (await open_store(file, SetClock())).close()


@pytest.mark.processes
async def test_another_stores_half_copy_is_not_gone_on_with(file: Path, at: PostgresLocation, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    await fill(other)
    killed(other, at, "acts")
    with pytest.raises(StoreRefusedError, match=r"a copy of another store into .* was broken off"):
        await moved(file, at)


async def test_a_file_that_was_moved_is_not_moved_elsewhere(file: Path, at: PostgresLocation) -> None:
    await moved(file, at)
    with pytest.raises(StoreRefusedError, match="was moved to"):
        await moved(file, PostgresLocation(at.url, "elsewhere"))


async def test_a_file_in_use_is_refused(file: Path, at: PostgresLocation) -> None:
    owner = await open_store(file, SetClock())
    with pytest.raises(StoreRefusedError, match=rf"is in use by saga orchestrator \(process {os.getpid()}\)"):
        await moved(file, at)
    await owner.close()


async def test_only_one_copies_at_a_time(file: Path, at: PostgresLocation, server: asyncpg.Connection) -> None:
    await server.execute("SELECT pg_advisory_lock(hashtextextended('kafka-saga copy saga', 0))")
    with pytest.raises(StoreRefusedError, match="another `saga store copy` is at work"):
        await moved(file, at)


async def test_a_file_that_is_not_there_is_said(tmp_path: Path, at: PostgresLocation) -> None:
    with pytest.raises(StoreUnavailableError, match="there is no store at"):
        await moved(tmp_path / "nonesuch.db", at)
    assert not (tmp_path / "nonesuch.db").exists()
