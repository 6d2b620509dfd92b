"""Showing one saga: its record, where it stands in one sentence, and what each step did when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga, StepState, record, status_sentence
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.orchestrator.operations.sagas.explaining import explain
from kafka_saga.orchestrator.operations.sagas.listing import summary
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import Purged
from kafka_saga.runtime.clock import rfc3339

OUTCOMES = (LogStatus.SUCCESS, LogStatus.FAILED, LogStatus.COMPENSATED)
"""The log rows that tell what happened; the others tell how (R28)."""


ACTS_SHOWN = 10
"""The newest; `saga acts` has all."""


@dataclass(slots=True)
class Span:
    """From when to when something was done; None where it has not begun, or not ended."""

    began_at: int | None = None
    ended_at: int | None = None

    @property
    def length_ms(self) -> int | None:
        """How long it took."""
        return None if self.began_at is None or self.ended_at is None else self.ended_at - self.began_at

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        began, ended = self.began_at, self.ended_at
        return {
            "startedAt": None if began is None else rfc3339(began),
            "endedAt": None if ended is None else rfc3339(ended),
            "durationMs": self.length_ms,
        }


@dataclass(frozen=True, slots=True)
class StepShown:
    """One step: what the definition says of it, how it stands, and when it was done and undone."""

    number: int
    name: str | None
    service: str | None
    state: StepState
    done: Span
    undone: Span

    def as_json(self) -> dict[str, Any]:
        """For programs. Replies are in the saga's `data`."""
        state = self.state
        return {
            "step": self.number,
            "name": self.name,
            "service": self.service,
            "status": state.status.value,
            "attempts": state.attempt,
            **self.done.as_json(),
            "error": state.error,
            "compensation": None if self.undone.began_at is None else self.undone.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """A saga for people and programs."""

    saga: Saga
    definition: Definition | None
    record: dict[str, Any]
    status: str
    sentence: str
    steps: list[StepShown]
    acts: list[ActRow]
    """What operators did to it, newest first."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log row with the step's number in the saga's pinned definition (R4); 0 where it is about no step."""

    number: int
    entry: LogEntry

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        entry = self.entry
        return {
            "seq": entry.seq,
            "at": rfc3339(entry.at),
            "step": self.number,
            "name": entry.step,
            "status": entry.status.value,
            "attempt": entry.attempt,
            "detail": dict(entry.detail),
        }


def purged_document(gone: Purged) -> dict[str, Any]:
    """All that is left of a saga (R29)."""
    ref = gone.ref
    return {
        "sagaId": ref.saga_id,
        "sagaType": ref.saga_type,
        "state": gone.state.value,
        "purged": True,
        "startedAt": rfc3339(gone.created_at),
        "endedAt": rfc3339(gone.ended_at),
        "purgedAt": rfc3339(gone.purged_at),
    }


async def show(
    reader: StoreReader, registry: Registry, saga_id: str, saga_type: str | None = None, *, now: int | None = None
) -> Shown:
    """One saga; with `now`, how long it still waits.

    Raises:
        NotFoundError: there is none of that id.

    """
    saga = await reader.find(saga_id, saga_type)
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    acts = await reader.acts(ACTS_SHOWN, saga_id=saga.ref.saga_id, saga_type=saga.ref.saga_type)
    waiting = [f"{act.verb} by {act.actor}" for act in acts if act.outcome is None]
    sentence = explain(definition, saga, now, await reader.pauses())
    if waiting:
        sentence += f" Not taken yet: {', '.join(waiting)}."
    steps = _steps(definition, saga, await reader.log(saga))
    told = {"sentence": sentence, "steps": [step.as_json() for step in steps]}
    document = _document(definition, saga, saga.updated_at if now is None else now, told)
    return Shown(saga, definition, document, status_sentence(saga), sentence, steps, acts)


def _document(definition: Definition | None, saga: Saga, now: int, told: dict[str, Any]) -> dict[str, Any]:
    """The saga's record, as the events have it, what a list says of it, and more; request and replies come last."""
    fields = record(definition, saga).model_dump()
    data = fields.pop("data")
    known = summary(saga, now) | told
    del known["ageMs"]  # an ended saga's document is the same whenever it is asked for
    parked = saga.parked
    if parked is not None:
        why = {"reason": parked.reason.value, "detail": parked.detail, "fromState": parked.from_state.value}
        known["parked"] = {**why, "error": saga.error}
    return {**fields, **known, "data": data}


def spans(log: Iterable[LogEntry]) -> tuple[dict[str, Span], dict[str, Span]]:
    """When each step was done and undone, by its name: from its first command to its last answer."""
    done: dict[str, Span] = {}
    undone: dict[str, Span] = {}
    for entry in log:
        for found, begins, ends in ((done, _BEGINS, _ENDS), (undone, _UNDO_BEGINS, _UNDO_ENDS)):
            if entry.status in begins:
                found.setdefault(entry.step, Span(entry.at)).ended_at = None  # an operator may send it once more
            elif entry.status in ends and entry.step in found:
                found[entry.step].ended_at = entry.at
    return done, undone


_BEGINS = frozenset({LogStatus.IN_PROGRESS})
_ENDS = frozenset({LogStatus.SUCCESS, LogStatus.FAILED})
_UNDO_BEGINS = frozenset({LogStatus.COMPENSATING})
_UNDO_ENDS = frozenset({LogStatus.COMPENSATED, LogStatus.NOTHING_TO_UNDO})


def _steps(definition: Definition | None, saga: Saga, log: Iterable[LogEntry]) -> list[StepShown]:
    done, undone = spans(log)
    planned: Mapping[int, Any] = {} if definition is None else dict(enumerate(definition.steps, 1))
    shown = []
    for number, state in enumerate(saga.steps, 1):
        step = planned.get(number)
        if step is None:
            shown.append(StepShown(number, None, None, state, Span(), Span()))
        else:
            when = done.get(step.name, Span()), undone.get(step.name, Span())
            shown.append(StepShown(number, step.name, step.service, state, *when))
    return shown


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
