"""Test a saga as a story: given a request, expect a command, answer it, expect what follows. No Kafka, no waiting.

    >>> from kafka_saga.orchestrator.sagas.order import order_saga
    >>> from kafka_saga.testing import given
    >>> from kafka_saga.schemas.orders import ChargePayment, ItemsReserved, ReleaseItems, ReserveItems

    >>> story = given(order_saga, {
    ...     "order_id": "order-1", "customer_id": "c-1", "items": [{"sku": "lamp", "quantity": 1}],
    ...     "amount": 4_990, "currency": "EUR",
    ... })
    >>> _ = story.expect_command("inventory", ReserveItems).succeed(ItemsReserved(reservation_id="r-1"))
    >>> _ = story.expect_command("payment", ChargePayment).fail("card declined")
    >>> _ = story.expect_command("inventory", ReleaseItems(order_id="order-1", reservation_id="r-1")).succeed()
    >>> story.expect_compensated(executed=[1], compensated=[1], error="card declined")

In a test function the `_ =` are not needed.
The real state machine decides; only its clock is ours. Time stands still until `wait()`, or until a command is
answered with silence, `time_out()`. Whatever differs from what was expected is an AssertionError that says what
the saga did instead; a command that nobody expected makes the next expectation fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from kafka_saga.orchestrator.definition import Saga, command_type
from kafka_saga.orchestrator.machine.decision import (
    Decision,
    EmitEvent,
    LogEntry,
    Refused,
    Result,
    SendCommand,
    Unchanged,
)
from kafka_saga.orchestrator.machine.events import Act, Admitted, Event, Replied, TimerFired
from kafka_saga.orchestrator.machine.saga import Hold, accepted, record, status_sentence
from kafka_saga.orchestrator.machine.saga import Saga as SagaInstance
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas.codec import decode_object, decode_trusted, encode
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.events import LifecycleEvent, SagaRecord
from kafka_saga.schemas.faithful import written
from kafka_saga.schemas.ids import Phase, SagaRef
from kafka_saga.schemas.reading import read_written

__all__ = ["Command", "Story", "expect_refused", "given"]

STORY_BEGINS_AT = 1_000_000


def given(
    definition: Saga, request: BaseModel | Mapping[str, Any], *, saga_id: str | None = None, admitted: bool = True
) -> Story:
    """A saga that was just asked for; admitted at once, unless told otherwise.

    Args:
        definition: the saga under test.
        request: what starts it.
        saga_id: needed where the definition has no `id_from`.
        admitted: False leaves it PENDING; `story.admit()` admits it.

    """
    body = read_written(definition.request, _body(request))
    document = decode_trusted(body)
    identity = saga_id or document.get(definition.id_from or "")
    if not isinstance(identity, str):
        raise AssertionError("say the saga's id: given(definition, request, saga_id=...)")  # noqa: TRY004 -- a test's
    ref = SagaRef(definition.saga_type, identity)
    story = Story(definition, accepted(definition, ref, document, len(body), STORY_BEGINS_AT))
    if admitted:
        story.admit()
    return story


@dataclass(frozen=True)
class Command:
    """A command that the saga sent, waiting for your answer. It may be answered late, twice or never."""

    story: Story
    sent: SendCommand

    @property
    def body(self) -> Any:
        """The command's fields."""
        return decode_trusted(self.sent.body)

    def succeed(self, reply: BaseModel | Mapping[str, Any] | None = None) -> Result:
        """The participant did it, or undid it; an action answers with its reply."""
        body = self._reply_body(reply)
        return self._answer(Outcome.SUCCESS, body=body, body_bytes=len(encode(body)))

    def nothing_to_undo(self) -> Result:
        """The participant never did what this compensation should undo, and never will (R9)."""
        return self._answer(Outcome.SUCCESS, effect=Effect.NONE)

    def fail(self, error: str, *, reason: Reason = Reason.REJECTED) -> Result:
        """The participant refuses for business reasons: nothing happened (R8)."""
        return self._answer(Outcome.FAILURE, reason=reason, body={"error": error})

    def retry(self, error: str) -> Result:
        """The participant failed technically: the command will be sent again after a backoff."""
        return self._answer(Outcome.RETRY, body={"error": error})

    def time_out(self) -> Result:
        """The participant stays silent until this command's deadline."""
        index = self.story.saga.active_index
        deadline_at = None if index is None else self.story.saga.steps[index].deadline_at
        if deadline_at is None or self.sent != self.story.sent[-1]:
            raise AssertionError(f"{_describe(self.sent)} is not awaited any more: {self.story}")
        self.story.now = max(self.story.now, deadline_at)
        return self.story.fire_timer()

    def _answer(self, outcome: Outcome, **details: Any) -> Result:
        identity = self.sent.command_id
        return self.story.apply(
            Replied(identity.step, identity.phase, identity.epoch, outcome, attempt=self.sent.attempt, **details)
        )

    def _reply_body(self, reply: BaseModel | Mapping[str, Any] | None) -> dict[str, Any]:
        body = b"{}" if reply is None else _body(reply)
        if self.sent.command_id.phase is Phase.COMPENSATE:
            return decode_object(body)
        definition, index = self.story.definition, self.story.definition.index(self.sent.command_id.step)
        assert index is not None, "a command belongs to a step"
        expected = definition.steps[index].reply_model
        wrong = f"{self.sent.command_type} is answered with succeed({expected.__name__}(...)), not with {reply!r}"
        if isinstance(reply, BaseModel) and not isinstance(reply, expected):
            raise AssertionError(wrong)  # noqa: TRY004 -- a test's
        try:
            return definition.reply_document(index, body)
        except ContractError as error:
            raise AssertionError(f"{wrong}: {error}") from error


class Story:
    """One saga, from its request on.

    Attributes:
        definition: what is under test.
        saga: its state now.
        now: the story's clock, milliseconds.
        log: every row of its step log so far.
        events: what it told the world so far.
        pauses: what is paused meanwhile, by scope: set `story.pauses["service:payment"] = Hold(...)`.

    """

    def __init__(self, definition: Saga, saga: SagaInstance) -> None:
        self.definition = definition
        self.saga = saga
        self.now = saga.created_at
        self.log: list[LogEntry] = []
        self.events: list[LifecycleEvent] = []
        self.sent: list[SendCommand] = []
        self.pauses: dict[str, Hold] = {}
        self._expected = 0

    def __repr__(self) -> str:
        unread = ", ".join(_describe(sent) for sent in self.sent[self._expected :]) or "none"
        parked = "" if self.saga.parked is None else f" ({self.saga.parked.reason.value}: {self.saga.parked.detail})"
        return f"saga {self.saga.ref} is {status_sentence(self.saga)}{parked}; commands not expected yet: {unread}"

    @property
    def record(self) -> SagaRecord:
        """The saga as people see it."""
        return record(self.definition, self.saga)

    def apply(self, event: Event) -> Result:
        """Let anything happen to the saga; the lowest way in, which all others use."""
        result = advance(self.definition, self.saga, event, self.now, self.pauses)
        if isinstance(result, Decision):
            self.saga = result.saga
            self.log.extend(result.log)
            self.sent.extend(effect for effect in result.effects if isinstance(effect, SendCommand))
            self.events.extend(effect.event for effect in result.effects if isinstance(effect, EmitEvent))
        return result

    def admit(self) -> Result:
        """There is room for the saga: it sends its first command."""
        return self.apply(Admitted())

    def fire_timer(self) -> Result:
        """The timer fires now; every command is known to be published."""
        return self.apply(TimerFired(published_at=0))

    def wait(self, duration_ms: int) -> None:
        """Let time pass, with every timeout and backoff that falls into it."""
        until = self.now + duration_ms
        while self.saga.wake_at is not None and self.saga.wake_at <= until:
            self.now = max(self.now, self.saga.wake_at)
            self.fire_timer()
        self.now = until

    def act(self, verb: EventKind, *, actor: str = "ops", reason: str = "told to", **arguments: Any) -> Result:
        """An operator acts: `EventKind.CANCEL`, `RETRY_NOW`, `SKIP` (step=, data=), `RESOLVE` (with `as`) and so on."""
        return self.apply(Act(f"act-{self.saga.version}", verb, actor, reason, arguments=arguments))

    def cancel(self, reason: str = "told to") -> Result:
        """An operator cancels the saga."""
        return self.act(EventKind.CANCEL, reason=reason)

    def expect_command(
        self, service: str, command: type[BaseModel] | BaseModel, *, attempt: int | None = None
    ) -> Command:
        """The next command the saga sent: to whom, of which type, or exactly this one."""
        wanted = f"{command_type(_model(command))} to {service}"
        if self._expected == len(self.sent):
            raise AssertionError(f"expected {wanted}, but nothing was sent: {self}")
        sent = self.sent[self._expected]
        if (sent.service, sent.command_type) != (service, command_type(_model(command))):
            raise AssertionError(f"expected {wanted}, not {_describe(sent)}: {self}")
        if attempt is not None and sent.attempt != attempt:
            raise AssertionError(f"expected attempt {attempt} of {wanted}, not attempt {sent.attempt}: {self}")
        if isinstance(command, BaseModel) and decode_trusted(sent.body) != decode_trusted(_body(command)):
            raise AssertionError(
                f"expected {wanted} with {decode_trusted(_body(command))}, not {decode_trusted(sent.body)}: {self}"
            )
        self._expected += 1
        return Command(self, sent)

    @property
    def unread(self) -> SendCommand | None:
        """The next command that the saga sent and you have not expected yet; None where there is none."""
        return self.sent[self._expected] if self._expected < len(self.sent) else None

    def expect_no_command(self) -> None:
        """Nothing was sent that you have not expected."""
        if self._expected != len(self.sent):
            raise AssertionError(f"expected no more commands: {self}")

    def expect_completed(self) -> None:
        """Every step is done."""
        self._expect_state(SagaState.COMPLETED)

    def expect_compensated(
        self,
        *,
        executed: Sequence[int] | None = None,
        compensated: Sequence[int] | None = None,
        error: str | None = None,
    ) -> None:
        """Everything that was done is undone; the lists are step numbers from 1, in order."""
        self._expect_state(SagaState.COMPENSATED)
        found = self.record
        for name, wanted, got in (
            ("stepsExecuted", executed, found.stepsExecuted),
            ("stepsCompensated", compensated, found.stepsCompensated),
            ("error", error, found.error),
        ):
            if wanted is not None and (list(wanted) if isinstance(got, list) else wanted) != got:
                raise AssertionError(f"expected {name} {wanted!r}, not {got!r}: {self}")

    def expect_parked(self, reason: str) -> None:
        """The saga waits for a person, for a reason from the closed list (R18)."""
        self._expect_state(SagaState.PARKED)
        assert self.saga.parked is not None, "a parked saga knows why"
        if self.saga.parked.reason.value != reason:
            raise AssertionError(f"expected to be parked for {reason}: {self}")

    def _expect_state(self, state: SagaState) -> None:
        self.expect_no_command()
        if self.saga.state is not state:
            raise AssertionError(f"expected {state.value}: {self}")


def expect_refused(result: Result) -> str:
    """The act was refused, or is what happens anyway; the sentence that says why."""
    if isinstance(result, Refused | Unchanged):
        return result.message
    raise AssertionError(f"expected the act to be refused, not {result}")


def _model(command: type[BaseModel] | BaseModel) -> type[BaseModel]:
    return command if isinstance(command, type) else type(command)


def _body(message: BaseModel | Mapping[str, Any]) -> bytes:
    """A message as the other side would write it."""
    if isinstance(message, BaseModel):
        return written(message)
    return to_json(message, by_alias=True, inf_nan_mode="constants")


def _describe(sent: SendCommand) -> str:
    return f"{sent.command_type} to {sent.service} (attempt {sent.attempt})"
