"""Definitions: what this process has, what the store has on record, and how many sagas stand at each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup

from kafka_saga.orchestrator.dashboard.drawing.tall_graph import tall_graph
from kafka_saga.orchestrator.dashboard.drawing.wide_graph import wide_graph
from kafka_saga.orchestrator.dashboard.outline import (
    Standing,
    StepOutline,
    graph_of_steps,
    standings,
    steps_of_code,
    steps_on_record,
    told,
)
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, Visit
from kafka_saga.orchestrator.dashboard.vocabulary import Look, counted_as, step_look
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.looking import parked_at, steps_stood_at, unfinished_by_version
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.limits import COUNTED_ROWS_MAX

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a type.

    Attributes:
        graph: its steps as a picture for a desk and one for a phone; None where its steps are not known.

    """

    number: int
    is_active: bool
    is_known: bool
    fingerprint: str
    unfinished: int
    steps: Sequence[StepOutline]
    graph: tuple[Markup, Markup] | None
    legend: Sequence[tuple[Look, str]]


async def look(visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    registry = visit.desk.registry
    async with visit.desk.reader() as reader:
        on_record = await reader.definitions()
        unfinished: Counter[Key] = Counter()
        for saga_type, version, _state, number in await unfinished_by_version(reader):
            unfinished[saga_type, version] += number
        at = await _standings(reader)
    known = {definition.key: definition for definition in registry}
    types: dict[str, list[Version]] = {}
    for key in sorted({*known, *on_record, *unfinished}, key=lambda key: (key[0], -key[1])):
        saga_type, number = key
        definition, active, meaning = known.get(key), registry.active(saga_type), on_record.get(key)
        if definition is not None:
            steps = steps_of_code(definition, at.get(key, {}))
        else:
            steps = steps_on_record(saga_type, None if meaning is None else meaning.description, at.get(key, {}))
        types.setdefault(saga_type, []).append(
            Version(
                number=number,
                is_active=active is not None and active.version == number,
                is_known=definition is not None,
                fingerprint="" if meaning is None else meaning.fingerprint[:12],
                unfinished=unfinished[key],
                steps=steps,
                graph=_pictures(f"{saga_type} version {number}", steps) if steps else None,
                legend=_legend(steps),
            )
        )
    missing = [key for key, number in unfinished.items() if number and key not in known]
    return {"types": types, "missing": missing}


async def _standings(reader: StoreReader) -> dict[Key, dict[int, Standing]]:
    """Who is at which step of each version, and on which way."""
    moving: dict[Key, Counter[tuple[int, bool]]] = {}
    parked: dict[Key, Counter[tuple[int, bool]]] = {}
    for state in (SagaState.RUNNING, SagaState.COMPENSATING):
        for one in await steps_stood_at(reader, state, COUNTED_ROWS_MAX):
            place = one.step, state is SagaState.COMPENSATING
            moving.setdefault((one.saga_type, one.version), Counter())[place] += one.number
    for stopped in await parked_at(reader, COUNTED_ROWS_MAX):
        place = stopped.step, stopped.undoing
        parked.setdefault((stopped.saga_type, stopped.version), Counter())[place] += stopped.number
    return {key: standings(moving.get(key, {}), parked.get(key, {})) for key in {*moving, *parked}}


def _pictures(name: str, steps: list[StepOutline]) -> tuple[Markup, Markup]:
    graph, label, description = graph_of_steps(steps), f"The steps of {name}, out and back", told(steps)
    wide, tall = (draw(graph, label, description) for draw in (wide_graph, tall_graph))
    return Markup(wide), Markup(tall)  # noqa: S704 -- svg.py escapes what it draws


def _legend(steps: Sequence[StepOutline]) -> list[tuple[Look, str]]:
    """The shapes that stand for sagas in the picture."""
    there = {
        "IN_PROGRESS": any(step.at.out for step in steps),
        "COMPENSATING": any(step.at.back for step in steps),
        "PARKED": any(step.at.parked for step in steps),
    }
    return [(step_look(status), counted_as(status)) for status, is_there in there.items() if is_there]


PAGE = Page("Definitions", "Definitions", "definitions.html", look, ("definitions/body.html",))
router = APIRouter()
add_page(router, "/definitions", PAGE)
