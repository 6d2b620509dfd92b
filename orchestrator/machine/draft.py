"""A decision in the making. Rules change a draft; `finish()` turns it into one immutable `Decision`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.definition import SagaData
from kafka_saga.orchestrator.machine.decision import Decision, Effect, EmitEvent, LogEntry, SendCommand
from kafka_saga.orchestrator.machine.events import Event, to_detail
from kafka_saga.orchestrator.machine.saga import (
    Hold,
    Parked,
    Saga,
    StepState,
    held_when_parked,
    replies_of,
    service_scope,
    type_scope,
)
from kafka_saga.orchestrator.machine.states import TERMINAL, LogStatus, ParkReason, SagaState
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import CommandId, Phase

Pauses = Mapping[str, Hold]
"""The pauses that hold back commands, by their scope."""

NO_PAUSES: Pauses = MappingProxyType({})


class Draft:
    """The saga as it will be after `event`."""

    __slots__ = (
        "_commands",
        "_event",
        "_log",
        "_told",
        "before",
        "definition",
        "error",
        "held",
        "now",
        "parked",
        "pauses",
        "state",
        "steps",
    )

    def __init__(self, definition: Definition, saga: Saga, event: Event, now: int, pauses: Pauses = NO_PAUSES) -> None:
        self.definition = definition
        self.before = saga
        self.now = now
        self.state = saga.state
        self.error = saga.error
        self.parked = saga.parked
        self.held = saga.held
        self.pauses = pauses
        self.steps = list(saga.steps)
        self._event: Event | None = event
        self._log: list[LogEntry] = []
        self._commands: list[SendCommand] = []
        self._told: LifecycleEvent | None = None

    def step(self, index: int, **changes: Any) -> StepState:
        """Change one step."""
        state = self.steps[index] = self.steps[index]._replace(**changes)
        return state

    def log(self, index: int | None, status: LogStatus, attempt: int = 0, **detail: Any) -> None:
        """Add a log row; the first one of a draft holds the event, so that the log can be folded (R28)."""
        if self._event is not None:
            detail = to_detail(self._event) | detail
            self._event = None
        name = "" if index is None else self.definition.steps[index].name
        seq = self.before.log_seq + len(self._log) + 1
        self._log.append(LogEntry(seq, name, status, attempt, self.now, detail))

    def emit(self, event: LifecycleEvent) -> None:
        """Tell the world: one event a version, the last of a draft, so that readers may dedupe by it (R26)."""
        self._told = event

    def withheld(self, index: int) -> bool:
        """Whether commands of the step must not go out now; a pause that says so begins to hold the saga."""
        own = service_scope(self.definition.steps[index].service)
        if self.held is not None:
            if self.held.scope == own or not self.held.scope.startswith(service_scope("")):
                return True
            self.held = None  # what the saga needs next is another service
        hold = self.pauses.get(own) or self.pauses.get(type_scope(self.before.ref.saga_type))
        if hold is None:
            return False
        self.held = hold
        # The fold reads the pause from here: nothing else of it is in the saga's log (I11).
        self.log(index, LogStatus.ACT, held=hold._asdict())
        return True

    def send(self, index: int, phase: Phase) -> None:
        """Send the step's command, for the first time or again, unless it is withheld: then the step stays as it is.

        A command that cannot be built parks the saga.
        """
        if (self.held is not None or self.pauses) and self.withheld(index):
            return
        step = self.definition.steps[index]
        state = self.steps[index]
        try:
            body = self.definition.command_body(
                step.name, phase, SagaData(self.before.request, replies_of(self.definition, self.steps))
            )
        except DefinitionError as error:
            self.park(ParkReason.DEFINITION_ERROR, str(error), index)
            return
        if len(body) > PAYLOAD_BYTES_MAX:
            command = self.definition.command_type(step.name, phase)
            self.park(ParkReason.DATA_LIMIT, f"{command} would have {len(body):,} bytes", index)
            return
        timeout_ms = step.timeout_ms if phase is Phase.FORWARD else step.compensation_timeout_ms
        state = self.steps[index] = state.sent(phase, self.now, self.now + timeout_ms)
        attempt = state.command_attempt(phase)
        self.log(index, LogStatus.IN_PROGRESS if phase is Phase.FORWARD else LogStatus.COMPENSATING, attempt)
        self._command(index, phase, attempt, body)

    def _command(self, index: int, phase: Phase, attempt: int, body: bytes) -> None:
        step, state = self.definition.steps[index], self.steps[index]
        # A pure function of saga, step, phase and epoch (R2, I13).
        identity = CommandId(*self.before.ref, step.name, phase, state.command_epoch(phase))
        command = self.definition.command_type(step.name, phase)
        self._commands.append(SendCommand(identity, step.service, command, attempt, body))

    def send_again(self, index: int, phase: Phase) -> None:
        """Send the awaited command once more, as it was: no attempt is spent, and the wait begins anew."""
        step, state = self.definition.steps[index], self.steps[index]
        data = SagaData(self.before.request, replies_of(self.definition, self.steps))
        body = self.definition.command_body(step.name, phase, data)
        waits = state.deadline_at is not None  # a parked saga takes the reply, and waits for nothing
        self.step(index, sent_at=self.now, deadline_at=self.now + step.policy(phase).timeout_ms if waits else None)
        self._command(index, phase, state.command_attempt(phase), body)

    def park(self, reason: ParkReason, detail: str, index: int | None) -> None:
        """Stop here until a person acts (R18). The step keeps its status, so that its reply is still known (R11)."""
        assert self.state is not SagaState.PARKED, "a parked saga is not parked again"
        self.parked = Parked(reason, self.state, detail[:ERROR_TEXT_LENGTH_MAX])
        self.state = SagaState.PARKED
        self.held = held_when_parked(self.held)
        if index is not None:
            self.step(index, deadline_at=None, retry_at=None)
        self.log(index, LogStatus.PARKED, park_reason=reason.value, why=self.parked.detail)
        self.emit(LifecycleEvent.PARKED)

    def unpark(self) -> None:
        """Go on from where the saga was parked."""
        assert self.parked is not None, "only a parked saga can go on"
        self.state = self.parked.from_state
        self.parked = None

    def finish(self) -> Decision:
        """The decision: one version later, whatever happened in between (I12)."""
        assert self._event is None, "a transition without a log row could not be folded"
        before = self.before
        # Spelled out: `dataclasses.replace` costs three times as much, and this is done for every message.
        saga = Saga(
            before.ref,
            before.definition_version,
            self.state,
            tuple(self.steps),
            before.request,
            before.request_bytes,
            before.created_at,
            self.now,
            self.error,
            self.parked,
            before.version + 1,
            before.log_seq + len(self._log),
            before.row,
            self.held if self.state not in TERMINAL else None,
            before.trace,
        )
        told: tuple[Effect, ...] = () if self._told is None else (EmitEvent(self._told),)
        return Decision(saga, (*told, *self._commands), tuple(self._log))
