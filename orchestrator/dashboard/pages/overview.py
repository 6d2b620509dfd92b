"""The overview: what needs somebody, what moves and how quickly, where sagas stand, how services answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from kafka_saga.orchestrator.dashboard.charts import flow_chart, sparkline
from kafka_saga.orchestrator.dashboard.filters import Asked
from kafka_saga.orchestrator.dashboard.pages.sagas import row_of, saga_href
from kafka_saga.orchestrator.dashboard.room import room_of
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.services import ailing, services_seen, standing_still
from kafka_saga.orchestrator.dashboard.visit import Page, Visit
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.sagas.failures import FailureLine, list_failures
from kafka_saga.orchestrator.operations.sagas.services import read_answers
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.looking import oldest_moving, steps_stood_at
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import AtStep
from kafka_saga.runtime.limits import COUNTED_ROWS_MAX
from kafka_saga.runtime.probe import look as look_at_notes
from kafka_saga.schemas.ids import SagaRef

SHOWN, SHOWN_LAGS = 5, 12
_STATES = (SagaState.RUNNING, SagaState.COMPENSATING, SagaState.PARKED)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many sagas stand at one step, by what they do there."""

    saga_type: str
    number: int
    step: str
    running: int
    undoing: int
    parked: int


async def look(visit: Visit) -> dict[str, Any]:
    """What the overview shows."""
    desk, registry, now = visit.desk, visit.desk.registry, visit.desk.clock.now_ms()
    reading = await desk.lag.read()
    notes = await asyncio.to_thread(look_at_notes, desk.site.data_dir)
    services = services_seen(registry.services, desk.topics, notes, reading, now)
    async with desk.reader() as reader:
        beat = await room_of(visit.request).pulse.beat(reader)
        failures, _others = await list_failures(reader, registry, undone=False)
        slowest = await oldest_moving(reader, SHOWN)
        standing = await _standing(reader, registry)
        answers = await read_answers(reader, registry)
        waiting, since = await reader.outbox_age()
        owner = await reader.owners.now(desk.clock)
    parked = [line for line in failures if line.parked]
    return {
        "beat": beat,
        "counts": {state.value: beat.counts.get(state) for state in SagaState},
        "retrying": {undoing: sum(one.retrying for one in failures if one.undoing is undoing) for undoing in (0, 1)},
        "oldest_parked_at": min((line.first_at for line in parked), default=None),
        "groups": [(line, failure_href(line), saga_href(SagaRef(line.saga_type, line.example))) for line in parked],
        "shown": SHOWN,
        "shown_lags": SHOWN_LAGS,
        "slowest": [row_of(visit, saga) for saga in slowest],
        "standing": standing,
        "answers": answers,
        "outbox": waiting,
        "outbox_ms": 0 if since is None else now - since,
        "owner": owner,
        "ailing": ailing(services, standing_still(reading, now), now),
        "reading": reading,
        "lags": sorted(reading.groups.by_topic(), key=lambda one: (-one.total, one.topic)),
        "curves": (sparkline(beat.started, "Started"), sparkline(beat.ended, "Ended")),
        "quiet": all(one.completed == one.undone == 0 for one in beat.flow),
        "flow": (flow_chart(beat.flow, width=1136, css="wide"), flow_chart(beat.flow[-30:], width=358, css="tall")),
    }


def failure_href(line: FailureLine, state: str = "parked") -> str:
    """The list of the sagas of one failure; those that were undone stand elsewhere than at the step that failed."""
    step = "" if state == "compensated" else line.step or ""
    return Asked(state=state, type=line.saga_type, step=step, error=line.error or "").address()


async def _standing(reader: StoreReader, registry: Registry) -> Sequence[Standing]:
    """Where unfinished sagas stand, in the order of their definitions."""
    numbers: dict[tuple[str, int, str], dict[SagaState, int]] = {}
    for state in _STATES:
        for at in await steps_stood_at(reader, state, COUNTED_ROWS_MAX):
            counts = numbers.setdefault((at.saga_type, at.step, _name(registry, at)), {})
            counts[state] = counts.get(state, 0) + at.number
    return [
        Standing(*key, *(numbers[key].get(state, 0) for state in _STATES))
        for key in sorted(numbers)
    ]  # fmt: skip


def _name(registry: Registry, at: AtStep) -> str:
    definition = registry.get(at.saga_type, at.version)
    known = definition is not None and 0 < at.step <= len(definition.steps)
    return definition.steps[at.step - 1].name if definition is not None and known else f"version {at.version}"


PAGE = Page(
    "Overview",
    "Overview",
    "overview.html",
    look,
    (
        "overview/say.html",
        "overview/figures.html",
        "overview/flow.html",
        "overview/lists.html",
        "overview/tables.html",
        "overview/lag.html",
    ),
)

router = APIRouter()
add_page(router, "/", PAGE)
