"""How many sagas a filter lets through, as far as that is known at once."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.live_limits import COUNTED_LIST_MAX, COUNTED_LIST_MS_MAX


class Matching(NamedTuple):
    """How many.

    Attributes:
        number: so many were counted.
        is_all: whether there are no more.

    """

    number: int
    is_all: bool


async def count_matching(reader: StoreReader, wanted: Filter, clock: Clock) -> Matching:
    """Count the newest, up to `COUNTED_LIST_MAX`, for `COUNTED_LIST_MS_MAX`.

    Raises:
        UsageError: the filter's field cannot be asked for.

    """
    most = COUNTED_LIST_MAX
    if wanted.is_unfinished_only:
        number = await reader.count(replace(wanted, limit=most + 1))
        return Matching(min(number, most), number <= most)
    number, before, until = 0, await reader.next_key(), clock.monotonic_ms() + COUNTED_LIST_MS_MAX
    while before > 0 and number <= most and clock.monotonic_ms() < until:
        first = max(0, before - reader.window_rows(wanted))
        number += await reader.count(replace(wanted, from_row=first, before_row=before, limit=most + 1 - number))
        before = first
    return Matching(min(number, most), before == 0 and number <= most)
