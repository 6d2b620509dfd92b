"""Pages of what people did, newest first, that come at once however many acts there are: every start is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kafka_saga.orchestrator.operations.sagas.paging import read_cursor, write_cursor
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.store.looking import WantedActs, acts_between, next_act
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import PAGE_WINDOW_ROWS, PAGE_WORK_MS_MAX


class ActsPage(NamedTuple):
    """Some acts.

    Attributes:
        acts: newest first.
        cursor: what to ask for the next page with; None where there is none.
        is_whole: False where the time was up before as many were found as there may be.

    """

    acts: Sequence[ActRow]
    cursor: str | None
    is_whole: bool


async def read_acts(reader: StoreReader, wanted: WantedActs, cursor: str | None, limit: int, clock: Clock) -> ActsPage:
    """The page of `wanted` that `cursor` stands for, or the first.

    Raises:
        UsageError: the cursor is none of ours.

    """
    before = await next_act(reader)
    if cursor is not None:
        before = min(before, read_cursor(cursor, 1)[0])
    until, found = clock.monotonic_ms() + PAGE_WORK_MS_MAX, list[tuple[int, ActRow]]()
    while True:
        first = max(0, before - PAGE_WINDOW_ROWS)
        found += await acts_between(reader, wanted, first, before, limit - len(found))
        acts = [act for _, act in found]
        if len(found) == limit:
            return ActsPage(acts, write_cursor(found[-1][0]), is_whole=True)
        before = first
        if before == 0:
            return ActsPage(acts, None, is_whole=True)
        if clock.monotonic_ms() >= until:
            return ActsPage(acts, write_cursor(before), is_whole=False)
