"""Showing one saga: its record, and where it stands in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.definition import Saga as Definition
from orchestrator.machine.decision import LogEntry
from orchestrator.machine.saga import Saga, record, status_sentence
from orchestrator.machine.states import LogStatus, SagaState
from orchestrator.registry import Registry
from orchestrator.store.reader import StoreReader

OUTCOMES = (LogStatus.SUCCESS, LogStatus.FAILED, LogStatus.COMPENSATED)
"""The log rows that tell what happened; the others tell how (R28)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A saga for people and programs."""

    saga: Saga
    definition: Definition | None
    record: dict[str, Any]
    status: str
    sentence: str


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log row with the step's number in the saga's pinned definition (R4); 0 where it is about no step."""

    number: int
    entry: LogEntry


async def show(reader: StoreReader, registry: Registry, saga_id: str, saga_type: str | None = None) -> Shown:
    """One saga.

    Raises:
        NotFoundError: there is none of that id.

    """
    saga = await reader.find(saga_id, saga_type)
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    document = record(definition, saga).model_dump()
    return Shown(saga, definition, document, status_sentence(saga), explain(definition, saga))


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


def explain(definition: Definition | None, saga: Saga) -> str:
    """Where the saga stands, in one sentence; times are those of the store's clock."""
    match saga.state:
        case SagaState.PENDING:
            return "It is accepted and waits for a place among the running sagas."
        case SagaState.COMPLETED:
            return f"All {len(saga.steps)} steps are done."
        case SagaState.COMPENSATED:
            return f"It failed ({saga.error or 'cancelled'}) and what was done is undone."
        case SagaState.PARKED:
            assert saga.parked is not None, "a parked saga says why"
            parked = saga.parked
            where = f"{parked.reason.value} while {parked.from_state.value}"
            return f"It is parked and needs a person: {where}: {parked.detail}."
        case SagaState.RUNNING | SagaState.COMPENSATING:
            return _explain_active(definition, saga)


def _explain_active(definition: Definition | None, saga: Saga) -> str:
    index = saga.active_index
    assert index is not None, "an active saga has an active step"
    step = saga.steps[index]
    undoing = saga.state is SagaState.COMPENSATING
    name = f"step {index + 1}" if definition is None else f"'{definition.steps[index].name}'"
    attempt = step.undo_attempt if undoing else step.attempt
    doing = f"undoing {name}" if undoing else name
    if step.retry_at is not None:
        wait_ms = step.retry_at - saga.updated_at
        return f"Attempt {attempt} of {doing} failed ({step.error}); it is tried again {wait_ms / 1000:g} s after that."
    return f"It waits for the reply of {doing}, attempt {attempt}."
