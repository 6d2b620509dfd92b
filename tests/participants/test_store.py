from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import FenceRow, Status
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.participants.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import ConflictError
from tests.participants.adapters import Adapter

TP = TopicPartition("shop.commands", 0)
OTHER = TopicPartition("shop.commands", 1)


def row(saga_id: str, *, status: Status = Status.DONE, at_ms: int = 5, step: str = "pay") -> FenceRow:
    call = "{}" if status in {Status.STARTED, Status.UNDOING} else None
    reply = None if status is Status.STARTED else "{}"
    return FenceRow(FenceKey("order", saga_id, step), status, 1, 0, reply, None, call, at_ms, at_ms)


async def opened(adapter: Adapter) -> ParticipantStore:
    return await open_for(Opening(adapter.shop(), "tests", SystemClock()), adapter.database)


async def saved(store: ParticipantStore, *rows: FenceRow) -> None:
    async with store.transaction():
        await store.load([row.key for row in rows])  # as the guard does: who does not ask cannot know what is there
        await store.save(rows)


async def test_what_was_stored_is_there_after_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    store = await open_store(path)
    await saved(store, row("order-1"), row("order-2", status=Status.STARTED, at_ms=9))
    async with store.transaction():
        await store.move_offsets({}, {TP: 7}, now_ms=8)
    store_id = store.store_id
    await store.close()

    store = await open_store(path)
    assert store.store_id == store_id
    assert await store.offsets() == {TP: 7}
    assert await store.newest_ms() == 9
    keys = [FenceKey("order", f"order-{number}", "pay") for number in (1, 2, 3)]
    assert await store.load(keys) == {
        keys[0]: row("order-1"),
        keys[1]: row("order-2", status=Status.STARTED, at_ms=9),
    }
    await store.close()


@pytest.mark.parametrize("status", Status)
async def test_every_status_is_read_as_it_was_written(adapter: Adapter, status: Status) -> None:
    store = await opened(adapter)
    await saved(store, row("order-1", status=status))
    assert await store.load([FenceKey("order", "order-1", "pay")]) == {
        row("x").key._replace(saga_id="order-1"): row("order-1", status=status)
    }
    await store.close()


async def test_a_new_store_knows_nothing(adapter: Adapter) -> None:
    store = await opened(adapter)
    assert (await store.newest_ms(), await store.offsets(), await store.load([])) == (0, {}, {})
    await store.close()


async def test_saving_a_row_again_replaces_it_and_keeps_its_age(adapter: Adapter) -> None:
    store = await opened(adapter)
    await saved(store, row("order-1", at_ms=1))
    await saved(store, row("order-1", status=Status.COMPENSATED, at_ms=4)._replace(compensation_epoch=2))
    [after] = (await store.load([FenceKey("order", "order-1", "pay")])).values()
    assert (after.status, after.compensation_epoch, after.started_at, after.updated_at) == (Status.COMPENSATED, 2, 1, 4)
    await store.close()


async def test_only_the_keys_that_were_asked_for_are_loaded(adapter: Adapter) -> None:
    store = await opened(adapter)
    await saved(store, row("order-1"), row("order-1", step="other"), row("order-2"))
    key = FenceKey("order", "order-1", "other")
    assert list(await store.load([key, key])) == [key]
    await store.close()


@pytest.mark.parametrize("expected", [{}, {TP: 6}])
async def test_an_offset_that_somebody_else_moved_undoes_the_batch(
    adapter: Adapter, expected: dict[TopicPartition, int]
) -> None:
    """R23: compare and set, in the batch's transaction."""
    store = await opened(adapter)
    async with store.transaction():
        await store.move_offsets({}, {TP: 5, OTHER: 1}, now_ms=1)

    async def batch() -> None:
        async with store.transaction():
            await store.save([row("order-1")])
            await store.move_offsets({**expected, OTHER: 1}, {OTHER: 2, TP: 8}, now_ms=2)

    with pytest.raises(ConflictError):
        await batch()
    assert await store.offsets() == {TP: 5, OTHER: 1}
    assert await store.load([FenceKey("order", "order-1", "pay")]) == {}
    async with store.transaction():
        await store.move_offsets({TP: 5}, {TP: 3}, now_ms=3)
    assert await store.offsets() == {TP: 3, OTHER: 1}
    await store.close()


async def test_pruning_forgets_what_is_old_and_settled_the_oldest_first() -> None:
    """R16."""
    store = await open_store(":memory:")
    await saved(store, *(row(f"order-{at_ms}", at_ms=at_ms) for at_ms in (1, 2, 3, 50)))
    await saved(store, row("order-started", status=Status.STARTED, at_ms=4))
    await saved(store, row("order-1", status=Status.COMPENSATED, at_ms=60))
    async with store.transaction():
        first = await store.prune(10, 0, rows_max=2)
        assert first.rows == 1
        assert first.next_row is not None
        assert await store.prune(10, first.next_row, rows_max=9) == (1, None)
        assert await store.prune(10, 0, rows_max=9) == (0, None)
    left = await store.connection.fetch_all("SELECT saga_id FROM saga_fence ORDER BY saga_id")
    assert [saga_id for (saga_id,) in left] == ["order-1", "order-50", "order-started"]
    async with store.transaction():
        assert await store.prune(100, 0, rows_max=9) == (2, None)
    await store.close()


async def test_pruning_looks_at_so_many_rows_and_gets_past_those_that_stay() -> None:
    """R16: calls that are never settled must not keep everything behind them for ever."""
    store = await open_store(":memory:")
    await saved(store, *(row(f"stuck-{number}", status=Status.STARTED, at_ms=number) for number in range(5)))
    await saved(store, *(row(f"order-{number}", at_ms=10 + number) for number in range(5)))
    from_row: int | None = 0
    pruned, steps = 0, 0
    async with store.transaction():
        while from_row is not None:
            step = await store.prune(13, from_row, rows_max=2)
            pruned, steps, from_row = pruned + step.rows, steps + 1, step.next_row
    assert (pruned, steps) == (3, 5)
    left = await store.connection.fetch_all("SELECT saga_id FROM saga_fence ORDER BY rowid")
    assert [saga_id for (saga_id,) in left][5:] == ["order-3", "order-4"]
    await store.close()
