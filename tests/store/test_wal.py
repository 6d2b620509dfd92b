"""The write-ahead log beside a busy store: a reader may hold it up, but not for ever and not without end (I20)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.engine.upkeep import Retention, Upkeep
from kafka_saga.orchestrator.store.port import Batch
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sqlite import SqliteStore, open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.sqlite import BUSY_TIMEOUT_MS, WAL_KEPT_BYTES_MAX, WAL_PAGES_MAX
from kafka_saga.runtime.wal import wal_bytes
from tests.contracts.stores import NOW, SetClock, connection_of, new_saga, start

TURN_BYTES = WAL_PAGES_MAX * 4_096
"""Where the log starts again by itself."""


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_store(path, SetClock())
    await start(store, new_saga())
    yield store
    await store.close()


async def write(store: SqliteStore, megabytes: int) -> None:
    """Commit and forget so much, in one outbox row after the other: the database itself does not grow."""
    large = Message("inventory.commands", b"order-1", b"x" * 1_000_000)
    for _ in range(megabytes):
        outbox_id = await store.commit(Batch(NOW, messages=[large]))
        assert outbox_id is not None
        await store.commit(Batch(NOW, published=[outbox_id]))


async def held_reader(path: Path) -> StoreReader:
    """Somebody with a SQL shell who has gone to lunch."""
    reader = await StoreReader.open(path)
    await connection_of(reader.tables).execute("BEGIN")
    await reader.count_all()
    return reader


async def test_without_readers_the_log_starts_again_by_itself(store: SqliteStore, path: Path) -> None:
    await write(store, 60)
    assert wal_bytes(path) < 2 * TURN_BYTES


async def test_a_quiet_store_has_no_log(store: SqliteStore, path: Path) -> None:
    await write(store, 5)
    assert wal_bytes(path) > 1_000_000
    assert await store.tidy()
    assert wal_bytes(path) == 0


async def test_a_reader_that_holds_on_is_waited_for_by_nobody(store: SqliteStore, path: Path) -> None:
    reader = await held_reader(path)
    await write(store, 5)
    clock = SystemClock()
    began_ms = clock.monotonic_ms()
    assert not await store.tidy()
    assert clock.monotonic_ms() - began_ms < BUSY_TIMEOUT_MS / 2
    await reader.close()
    assert await store.tidy()


async def test_a_reader_that_holds_on_stops_new_sagas_and_its_end_lets_them_in_again_I20(
    store: SqliteStore, path: Path
) -> None:
    upkeep = Upkeep(store, SetClock(), Retention(), wal_bytes_max=2 * TURN_BYTES)
    reader = await held_reader(path)
    now, written = NOW, 0
    while not upkeep.choked:
        await write(store, 5)
        written += 5_000_000
        assert written < 100_000_000, "it must be noticed long before"
        now += 1_000
        await upkeep.step(now, idle=False)
    assert wal_bytes(path) > 2 * TURN_BYTES
    await upkeep.step(now + 1_000, idle=True)
    assert upkeep.choked, "the reader is still there"
    assert await reader.count_all() == 1
    await reader.close()
    await upkeep.step(now + 2_000, idle=True)
    assert not upkeep.choked, "although nothing was written meanwhile"
    assert wal_bytes(path) == 0


async def test_a_log_that_was_long_is_cut_when_it_starts_again(store: SqliteStore, path: Path) -> None:
    reader = await held_reader(path)
    await write(store, 90)
    assert wal_bytes(path) > WAL_KEPT_BYTES_MAX
    await reader.close()
    await write(store, 25)
    assert wal_bytes(path) <= WAL_KEPT_BYTES_MAX
