"""Showing one saga: its record, and where it stands in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga, record, status_sentence
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.orchestrator.operations.explaining import explain
from kafka_saga.orchestrator.operations.listing import held_json
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.store.reader import StoreReader

OUTCOMES = (LogStatus.SUCCESS, LogStatus.FAILED, LogStatus.COMPENSATED)
"""The log rows that tell what happened; the others tell how (R28)."""


ACTS_SHOWN = 10
"""The newest; `saga acts` has all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A saga for people and programs."""

    saga: Saga
    definition: Definition | None
    record: dict[str, Any]
    status: str
    sentence: str
    acts: list[ActRow]
    """What operators did to it, newest first."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log row with the step's number in the saga's pinned definition (R4); 0 where it is about no step."""

    number: int
    entry: LogEntry


async def show(
    reader: StoreReader, registry: Registry, saga_id: str, saga_type: str | None = None, *, now: int | None = None
) -> Shown:
    """One saga; with `now`, how long it still waits.

    Raises:
        NotFoundError: there is none of that id.

    """
    saga = await reader.find(saga_id, saga_type)
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    document = record(definition, saga).model_dump()
    if saga.held is not None:  # otherwise it is the seed's record, as the events have it
        document["held"] = held_json(saga.held)
    acts = await reader.acts(ACTS_SHOWN, saga_id=saga.ref.saga_id, saga_type=saga.ref.saga_type)
    waiting = [f"{act.verb} by {act.actor}" for act in acts if act.outcome is None]
    sentence = explain(definition, saga, now, await reader.pauses())
    if waiting:
        sentence += f" Not taken yet: {', '.join(waiting)}."
    return Shown(saga, definition, document, status_sentence(saga), sentence, acts)


async def read_log(
    reader: StoreReader, registry: Registry, saga_id: str, saga_type: str | None = None, *, every_row: bool = False
) -> list[LogRow]:
    """The log of one saga: what happened to each step, or every row.

    Raises:
        NotFoundError: there is none of that id.

    """
    saga = await reader.find(saga_id, saga_type)
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    numbers = {} if definition is None else {step.name: place for place, step in enumerate(definition.steps, 1)}
    entries = await reader.log(saga)
    return [LogRow(numbers.get(entry.step, 0), entry) for entry in entries if every_row or entry.status in OUTCOMES]
