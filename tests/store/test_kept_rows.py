"""Two writers of one file, as a copy of the protocol: what one keeps in memory is compared before it counts (R66)."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.store.port import Advance, Batch
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.sqlite import open_inline
from tests.contracts.stores import NOW, SetClock, move, start_running, stored, success

REPLIES = TopicPartition("payment.replies", 0)


async def opened(path: Path) -> SqliteStore:
    return await SqliteStore.create(await open_inline(path), SetClock())


async def test_what_is_ignored_by_a_row_in_memory_that_another_writer_changed_is_a_conflict_R66(path: Path) -> None:
    ours, theirs = await opened(path), await opened(path)
    kept = await start_running(ours)
    await move(theirs, success("reserve_inventory", reservation_id="r-1"))  # and sends step 2's command

    with pytest.raises(ConflictError):  # step 2's reply: not awaited, by the row we keep
        await ours.commit(Batch(NOW, unchanged=[kept], offsets={REPLIES: Advance(None, 1)}))
    assert await ours.offsets() == {}
    assert (await stored(ours)).active_index == 1, "it is read again"
    await ours.close()
    await theirs.close()


async def test_what_is_ignored_by_a_row_that_is_still_so_costs_nothing(path: Path) -> None:
    ours = await opened(path)
    kept = await start_running(ours)
    await ours.commit(Batch(NOW, unchanged=[kept], offsets={REPLIES: Advance(None, 1)}))
    assert await ours.offsets() == {REPLIES: 1}
    await ours.close()
