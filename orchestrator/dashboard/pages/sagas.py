"""The list of sagas: filtered by what stands in the address, a page at a time, and chosen from to act on many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from kafka_saga.orchestrator.dashboard.filters import AGES, Asked
from kafka_saga.orchestrator.dashboard.room import room_of
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.sagas.brief import brief, step_words
from kafka_saga.orchestrator.operations.sagas.counting import Matching, count_matching
from kafka_saga.orchestrator.operations.sagas.paging import read_page
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.live_limits import PREFIXED_SAGAS_MAX
from kafka_saga.schemas.ids import SagaRef

ROWS = 50
PARKED_FIRST = 10
"""On the first page of everything, so many that need a person stand before the rest."""


@dataclass(frozen=True, slots=True)
class Row:
    """One saga of a list."""

    ref: SagaRef
    state: str
    steps: list[str]
    words: str
    began_at: int
    took_ms: int | None
    due_at: int | None

    @property
    def href(self) -> str:
        """Its page."""
        return saga_href(self.ref)

    @property
    def element(self) -> str:
        """Its row's id in the page."""
        return f"saga-{self.ref.saga_type}-{self.ref.saga_id}"


def saga_href(ref: SagaRef) -> str:
    """Where a saga's page is."""
    return f"/sagas/{quote(ref.saga_type, safe='')}/{quote(ref.saga_id, safe='')}"


def row_of(visit: Visit, saga: Saga) -> Row:
    """A saga as a list shows it."""
    definition = visit.desk.registry.get(saga.ref.saga_type, saga.definition_version)
    ended = saga.state in TERMINAL
    return Row(
        ref=saga.ref,
        state=saga.state.value,
        steps=step_words(saga),
        words=brief(definition, saga),
        began_at=saga.created_at,
        took_ms=saga.updated_at - saga.created_at if ended else None,
        due_at=saga.wake_at,
    )


async def look(visit: Visit) -> dict[str, Any]:
    """What the list shows."""
    asked = Asked.read(visit.request.query_params)
    after = visit.request.query_params.get("after") or None
    registry = visit.desk.registry
    async with visit.desk.reader() as reader:
        wanted = await asked.narrowed(reader, asked.filter(registry, visit.desk.clock.now_ms(), ROWS))
        beat = await room_of(visit.request).pulse.beat(reader, flow=False)
        listed = await _listed(visit, reader, asked, wanted, after)
        matching = None if asked.is_any else await _count(visit, reader, wanted, listed, after)
    return {
        "rows": _rows(visit, listed.sagas),
        "first": _rows(visit, listed.first),
        "cursor": listed.cursor,
        "is_whole": listed.is_whole,
        "matching": matching,
        "in_words": asked.in_words(by_id=wanted.prefix is not None),
        "asked": asked,
        "after": after,
        "beat": beat,
        "ages": AGES,
        "types": registry.saga_types,
        "steps": list(dict.fromkeys(step.name for definition in registry for step in definition.steps)),
        "states": [(state.value, state.value.lower(), beat.counts.get(state)) for state in _ORDER],
        "parked_count": beat.counts[SagaState.PARKED],
        "under_way": beat.counts[SagaState.RUNNING] + beat.counts[SagaState.COMPENSATING],
    }


_ORDER = (
    SagaState.PARKED,
    SagaState.RUNNING,
    SagaState.COMPENSATING,
    SagaState.PENDING,
    SagaState.COMPLETED,
    SagaState.COMPENSATED,
)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A page of the list.

    Attributes:
        sagas: newest first.
        first: what needs a person and stands before them.
        cursor: for the next page; None where there is none.
        is_whole: whether it was looked far enough back to fill the page.

    """

    sagas: Sequence[Saga]
    first: Sequence[Saga] = ()
    cursor: str | None = None
    is_whole: bool = True


async def _listed(visit: Visit, reader: StoreReader, asked: Asked, wanted: Filter, after: str | None) -> _Listed:
    """By the beginning of an id where there are such, else by everything else."""
    if wanted.prefix is not None and not wanted.is_unfinished_only:
        return _Listed(await reader.beginning_with(wanted.prefix, wanted))
    first: Sequence[Saga] = ()
    if asked.is_any:
        if after is None:
            first = await reader.newest(Filter(states=frozenset({SagaState.PARKED}), limit=PARKED_FIRST))
        wanted = replace(wanted, states=frozenset(SagaState) - {SagaState.PARKED})
    page = await read_page(reader, wanted, after, visit.desk.clock)
    return _Listed(page.sagas, first, page.cursor, page.is_whole)


async def _count(visit: Visit, reader: StoreReader, wanted: Filter, listed: _Listed, after: str | None) -> Matching:
    """How many the filter lets through; the page itself says so where it has them all, or its time was up."""
    number = len(listed.sagas)
    if wanted.prefix is not None and not wanted.is_unfinished_only:
        looked = await reader.find_by_prefix(wanted.prefix, wanted.saga_type, PREFIXED_SAGAS_MAX)
        return Matching(number, number < wanted.limit and len(looked) < PREFIXED_SAGAS_MAX)
    if after is None and (listed.cursor is None or not listed.is_whole):
        return Matching(number, listed.cursor is None)
    return await count_matching(reader, wanted, visit.desk.clock)


def _rows(visit: Visit, sagas: Sequence[Saga]) -> list[Row]:
    return [row_of(visit, saga) for saga in sagas]


PAGE = Page("Sagas", "Sagas", "sagas.html", look, ("sagas/say.html", "sagas/states.html", "sagas/rows.html"))

router = APIRouter()
add_page(router, "/sagas", PAGE)


@router.get("/find", include_in_schema=False)
async def find(visit: TheVisit, q: str = "") -> Response:
    """The box in the navigation: the saga's page where it is one's id, else the list."""
    asked = Asked(q=q.strip())
    if asked.prefix is not None:
        async with visit.desk.reader() as reader:
            refs = await reader.find_by_prefix(asked.prefix, None, ROWS)
        exact = [ref for ref in refs if ref.saga_id == asked.prefix]
        if len(exact) == 1:
            return RedirectResponse(saga_href(exact[0]), 303)
    return RedirectResponse(asked.address(), 303)
