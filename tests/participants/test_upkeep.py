"""A participant forgets what is too old to come again, also when it is never idle (R16)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicDescription
from kafka_saga.participants import app
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import FenceRow, Status
from kafka_saga.participants.store.sqlite import SqliteStore, open_store
from kafka_saga.participants.upkeep import (
    BUSY_INTERVAL_MS,
    BUSY_ROWS_MAX,
    IDLE_ROWS_MAX,
    PRUNE_INTERVAL_MS,
    PRUNE_MARGIN_MS,
    Upkeep,
)
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.wal import wal_bytes
from tests.participants.fakes import FakeClock
from tests.participants.shop import Do
from tests.participants.worker_world import World

DAY_MS = 24 * 3_600_000
ROWS = 3 * BUSY_ROWS_MAX


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_store(tmp_path / "shop.db")
    yield store
    await store.close()


async def fill(store: SqliteStore, rows: int, at_ms: int) -> None:
    async with store.transaction():
        await store.save(
            FenceRow(FenceKey("order", f"order-{number}", "pay"), Status.DONE, 1, 0, "{}", None, None, at_ms, at_ms)
            for number in range(rows)
        )


async def count(store: SqliteStore) -> int:
    [(rows,)] = await store.connection.fetch_all("SELECT count(*) FROM saga_fence")
    return int(rows)


async def test_a_participant_that_is_never_idle_forgets_a_little_at_a_time(store: SqliteStore) -> None:
    clock = FakeClock()
    await fill(store, ROWS, clock.at_ms)
    upkeep = Upkeep(store, clock, DAY_MS)
    clock.at_ms += DAY_MS + PRUNE_MARGIN_MS + 1
    left = []
    for _ in range(3):
        for _batch in range(10):
            await upkeep.step(clock.at_ms, idle=False)
        left.append(await count(store))
        clock.at_ms += BUSY_INTERVAL_MS
    assert left == [2 * BUSY_ROWS_MAX, BUSY_ROWS_MAX, 0]


async def test_an_idle_participant_forgets_faster_and_looks_again_after_an_hour(store: SqliteStore) -> None:
    clock = FakeClock()
    await fill(store, ROWS, clock.at_ms)
    assert ROWS <= IDLE_ROWS_MAX
    upkeep = Upkeep(store, clock, DAY_MS)
    await upkeep.step(clock.at_ms, idle=True)
    assert await count(store) == ROWS, "nothing is old yet"
    clock.at_ms += DAY_MS + PRUNE_MARGIN_MS + 1 - PRUNE_INTERVAL_MS
    await upkeep.step(clock.at_ms, idle=True)
    assert await count(store) == ROWS
    clock.at_ms += PRUNE_INTERVAL_MS
    await upkeep.step(clock.at_ms, idle=True)
    assert await count(store) == 0


async def test_an_idle_participant_cuts_its_log_off(store: SqliteStore, tmp_path: Path) -> None:
    clock = FakeClock()
    await fill(store, ROWS, clock.at_ms)
    assert wal_bytes(tmp_path / "shop.db") > 10_000
    upkeep = Upkeep(store, clock, DAY_MS)
    await upkeep.step(clock.at_ms, idle=True)
    await upkeep.step(clock.at_ms, idle=True)
    assert wal_bytes(tmp_path / "shop.db") == 0


async def test_a_working_worker_forgets(tmp_path: Path) -> None:
    world = World(tmp_path / "shop.db")
    await world.start()
    await world.send(Do(), "order-1")
    await world.replied(1)
    await world.stop()
    world.clock.at_ms += 32 * DAY_MS
    await world.start()
    await world.send(Do(), "order-2")
    await world.replied(2)
    await world.send(Do(), "order-3")  # taken after the step that follows the second
    await world.replied(3)
    left = await world.store.connection.fetch_all("SELECT saga_id FROM saga_fence ORDER BY rowid")
    assert [saga_id for (saga_id,) in left] == ["order-2", "order-3"]
    await world.stop()


@pytest.mark.parametrize(
    ("retention_ms", "refused"),
    [(DAY_MS - 1, False), (DAY_MS, False), (DAY_MS + 1, True), (-1, True), (None, False)],
)
async def test_commands_that_outlive_the_fence_are_refused_at_the_start_R16(
    monkeypatch: pytest.MonkeyPatch, retention_ms: int | None, refused: bool
) -> None:
    """-1 is for ever; None is a broker that cannot be asked."""

    async def described(_kafka: KafkaSettings, names: list[str]) -> list[TopicDescription]:
        config = None if retention_ms is None else {"retention.ms": str(retention_ms)}
        return [TopicDescription(name, 4, config) for name in names]

    monkeypatch.setattr(app, "describe", described)
    check = app._check_retention(KafkaSettings(), "shop.commands", DAY_MS)
    if not refused:
        await check
        return
    with pytest.raises(ConfigError, match="raise the fence's"):
        await check
