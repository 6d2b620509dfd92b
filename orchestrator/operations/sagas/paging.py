"""Pages of a list of sagas, newest first, that come at once however many sagas there are.

A filter that lets few through may have to look at millions. Each page looks at windows of keys until it is full or its
time is up, and says where the next one goes on: an empty page in the middle of a list is no end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.operations.cursors import read_place, write_place
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.listing import KEY_MAX, Filter
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import PAGE_WORK_MS_MAX


@dataclass(frozen=True, slots=True)
class Page:
    """Some sagas of a list.

    Attributes:
        sagas: newest first.
        cursor: what to ask for the next page with; None where there is none.
        is_whole: False where the time was up before as many were found as there may be.

    """

    sagas: Sequence[Saga]
    cursor: str | None
    is_whole: bool


def steps_named(registry: Registry, step: str, saga_type: str | None = None) -> frozenset[str]:
    """Where sagas stand that stand at a step of that name, as `Filter.steps` has it."""
    return frozenset(
        f"{definition.saga_type}/{definition.version}/{index + 1}"
        for definition in registry
        if saga_type in (None, definition.saga_type) and (index := definition.index(step)) is not None
    )


async def read_page(reader: StoreReader, wanted: Filter, cursor: str | None, clock: Clock) -> Page:
    """The page of `wanted` that `cursor` stands for, or the first.

    Raises:
        UsageError: the cursor is none of ours, or the filter's field cannot be asked for.

    """
    before = KEY_MAX if cursor is None else read_cursor(cursor, 1)[0]
    limit, found = wanted.limit, list[Saga]()
    if wanted.is_unfinished_only:  # they are few, and an index has them
        found = await reader.newest(replace(wanted, before_row=before))
        return Page(found, _after(found, limit), is_whole=True)
    before = min(before, await reader.next_key())
    until = clock.monotonic_ms() + PAGE_WORK_MS_MAX
    while True:
        window = replace(wanted, from_row=max(0, before - reader.window_rows(wanted)), before_row=before)
        found += await reader.newest(replace(window, limit=limit - len(found)))
        if len(found) == limit:
            return Page(found, _after(found, limit), is_whole=True)
        before = window.from_row
        if before == 0:
            return Page(found, None, is_whole=True)
        if clock.monotonic_ms() >= until:
            return Page(found, write_cursor(before), is_whole=False)


def write_cursor(*place: int) -> str:
    """A place in a list, for whoever reads on; nothing to be read in."""
    return write_place(place)


def read_cursor(text: str, length: int) -> list[int]:
    """The place that a cursor stands for.

    Raises:
        UsageError: it is none of ours.

    """
    place: list[int] = read_place(text, lambda found: _is_place(found, length))
    return place


def _is_place(found: Any, length: int) -> bool:
    return (
        isinstance(found, list)
        and len(found) == length
        and all(type(one) is int and 0 <= one <= KEY_MAX for one in found)
    )


def _after(found: Sequence[Saga], limit: int) -> str | None:
    return write_cursor(found[-1].row) if len(found) == limit else None
