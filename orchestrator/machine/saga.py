"""A saga's state as a value. Every step keeps its own state; there is no single cursor (design §6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState, StepStatus
from kafka_saga.schemas.events import SagaRecord
from kafka_saga.schemas.ids import Phase, SagaRef


class StepState(NamedTuple):
    """Where one step is. A named tuple, because several are made for every message: it costs a quarter.

    Attributes:
        epoch, attempt: of the action's command; the epoch rises only when an operator retries a parked one (R14).
        undo_epoch, undo_attempt: of the compensation's.
        sent_at: when the wait for the latest attempt, of either, began: when it was decided, or its saga released
            from a hold; milliseconds, the store's clock.
        deadline_at: a reply is awaited until then.
        retry_at: a backoff ends then. At most one of the two is set.
        executed: a success reply came, or the compensation really undid something (R9).
        late: a success that came too late has been logged (R11).
        reply, reply_bytes: the action's reply and its size on the wire.
        error: what the step last failed with.

    """

    status: StepStatus = StepStatus.PENDING
    epoch: int = 1
    attempt: int = 0
    undo_epoch: int = 1
    undo_attempt: int = 0
    sent_at: int | None = None
    deadline_at: int | None = None
    retry_at: int | None = None
    executed: bool = False
    late: bool = False
    reply: Mapping[str, Any] | None = None
    reply_bytes: int = 0
    error: str | None = None

    @property
    def wake_at(self) -> int | None:
        """When this step needs the timer, or None."""
        return self.deadline_at if self.deadline_at is not None else self.retry_at

    @property
    def begun(self) -> bool:
        """Whether this store ever sent its command. A step may be in doubt without: after a restore (R59)."""
        unknown = self.status is StepStatus.IN_DOUBT and self.sent_at is None
        return self.status is not StepStatus.PENDING and not unknown

    def sent(self, phase: Phase, now: int, deadline_at: int) -> StepState:
        """The step with its command sent once more. Spelled out: `_replace` costs four times as much."""
        if phase is Phase.FORWARD:
            status, attempt, undo_attempt = StepStatus.IN_PROGRESS, self.attempt + 1, self.undo_attempt
        else:
            status, attempt, undo_attempt = StepStatus.COMPENSATING, self.attempt, self.undo_attempt + 1
        return StepState(
            status,
            self.epoch,
            attempt,
            self.undo_epoch,
            undo_attempt,
            now,
            deadline_at,
            None,
            self.executed,
            self.late,
            self.reply,
            self.reply_bytes,
            self.error,
        )

    def succeeded(self, reply: Mapping[str, Any] | None, reply_bytes: int) -> StepState:
        """The step with its action's success."""
        return StepState(
            StepStatus.SUCCESS,
            self.epoch,
            self.attempt,
            self.undo_epoch,
            self.undo_attempt,
            self.sent_at,
            None,
            None,
            True,
            self.late,
            reply,
            reply_bytes,
            None,
        )

    def command_epoch(self, phase: Phase) -> int:
        return self.epoch if phase is Phase.FORWARD else self.undo_epoch

    def command_attempt(self, phase: Phase) -> int:
        return self.attempt if phase is Phase.FORWARD else self.undo_attempt


@dataclass(frozen=True, slots=True)
class Parked:
    """Why and from where a saga was parked."""

    reason: ParkReason
    from_state: SagaState
    detail: str


OPERATOR = "operator"
"""The scope of a hold that an operator put on one saga."""


class Hold(NamedTuple):
    """Why a saga sends nothing, and who says so (docs/decisions/0009).

    Attributes:
        scope: `operator` for one saga; else the pause that holds it: `service:payment` or `type:order`.
        actor, reason, at: of the operator's act; milliseconds, the store's clock.

    """

    scope: str
    actor: str
    reason: str
    at: int


def service_scope(service: str) -> str:
    """The scope of a pause of one service's commands."""
    return f"service:{service}"


def type_scope(saga_type: str) -> str:
    """The scope of a pause of one saga type."""
    return f"type:{saga_type}"


def held_when_parked(held: Hold | None) -> Hold | None:
    """What of a hold outlives the parking: a person's. A pause is asked again when the saga goes on."""
    return held if held is not None and held.scope == OPERATOR else None


@dataclass(frozen=True, slots=True)
class Saga:
    """One saga. `version` rises by one with every transition (I12); `log_seq` counts its log rows."""

    ref: SagaRef
    definition_version: int
    state: SagaState
    steps: tuple[StepState, ...]
    request: Mapping[str, Any]
    request_bytes: int
    created_at: int
    updated_at: int
    error: str | None = None
    parked: Parked | None = None
    version: int = 0
    log_seq: int = 0
    row: int = field(default=0, compare=False)
    """The store's own handle of the row; no part of the saga's state."""
    held: Hold | None = None
    """While it is set nothing is sent and no timer runs; replies are taken as always."""
    trace: str | None = None
    """The trace that it belongs to (`schemas.traces`); None where it is in none."""

    def at_row(self, row: int) -> Saga:
        """The same saga where the store has it."""
        return replace(self, row=row)

    @property
    def wake_at(self) -> int | None:
        """The earliest moment at which this saga needs the timer, or None. A held saga needs none (R20, R21)."""
        if self.held is not None:
            return None
        earliest: int | None = None
        for step in self.steps:
            wake_at = step.deadline_at if step.deadline_at is not None else step.retry_at
            if wake_at is not None and (earliest is None or wake_at < earliest):
                earliest = wake_at
        return earliest

    @property
    def data_bytes(self) -> int:
        """What the saga's data weighs, against `SAGA_DATA_BYTES_MAX`."""
        return self.request_bytes + sum([step.reply_bytes for step in self.steps])

    @property
    def active_index(self) -> int | None:
        """The step in progress or being undone, from 0; None where there is none."""
        for index, step in enumerate(self.steps):
            if step.status in _ACTIVE_STEP:
                return index
        return None


_ACTIVE_STEP = (StepStatus.IN_PROGRESS, StepStatus.COMPENSATING)

_UNTOUCHED = StepState()


def accepted(  # noqa: PLR0917 -- all that a saga begins with
    definition: Definition,
    ref: SagaRef,
    request: Mapping[str, Any],
    request_bytes: int,
    now: int,
    trace: str | None = None,
) -> Saga:
    """A saga as its request makes it: PENDING, nothing sent (R5)."""
    return Saga(
        ref=ref,
        definition_version=definition.version,
        state=SagaState.PENDING,
        steps=(_UNTOUCHED,) * len(definition.steps),
        request=request,
        request_bytes=request_bytes,
        created_at=now,
        updated_at=now,
        trace=trace,
    )


def replies_of(definition: Definition, steps: Iterable[StepState]) -> dict[str, Mapping[str, Any]]:
    """The replies so far, by step."""
    return {name: step.reply for name, step in zip(definition.step_names, steps, strict=True) if step.reply is not None}


def current_step(saga: Saga) -> int:
    """The step's number that people see, from 1; 0 where nothing began or nothing was undone (R4)."""
    if saga.state is SagaState.COMPLETED:
        return len(saga.steps)
    active = saga.active_index
    if active is not None:
        return active + 1
    undone = [index for index, step in enumerate(saga.steps) if step.status is StepStatus.COMPENSATED]
    if undone:
        return undone[0] + 1
    if saga.state is SagaState.COMPENSATED:
        return 0
    begun = [index for index, step in enumerate(saga.steps) if step.begun]
    return begun[-1] + 1 if begun else 0


def record(definition: Definition | None, saga: Saga) -> SagaRecord:
    """The saga as people and other services see it. Without its definition its replies have no names."""
    return SagaRecord.model_construct(**record_fields(definition, saga))


def record_fields(definition: Definition | None, saga: Saga) -> dict[str, Any]:
    """The record's fields, in its order: what an event's body is made of, without a model in between."""
    executed: list[int] = []
    compensated: list[int] = []
    for number, step in enumerate(saga.steps, 1):
        if step.executed:
            executed.append(number)
        if step.status is StepStatus.COMPENSATED:
            compensated.insert(0, number)
    return {
        "sagaId": saga.ref.saga_id,
        "state": saga.state.value,
        "currentStep": current_step(saga),
        "stepsExecuted": executed,
        "stepsCompensated": compensated,
        "error": saga.error,
        "data": {"request": saga.request, "replies": {} if definition is None else replies_of(definition, saga.steps)},
    }


def status_sentence(saga: Saga) -> str:
    """The state for people, with the step where one is active: `STEP_2 IN_PROGRESS` (R5)."""
    active = saga.active_index
    held = "" if saga.held is None else " (held)"
    if active is None or saga.state is SagaState.PARKED:
        return f"{saga.state.value}{held}"
    return f"STEP_{active + 1} {saga.steps[active].status.value}{held}"
