"""What users test their sagas and participants with: no Kafka, no waiting.

given(order_saga, {...}).expect_command("payment", ChargePayment).fail("card declined")    # a saga as a story
async with await Harness.open(payment, prepare=prepare) as harness: ...                     # a service's handlers
check(order_saga, [inventory, payment, orders])                                             # whether both fit
sagas = InMemorySagas(order_saga, answers={...})                                            # what starts sagas
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from kafka_saga.client.errors import OutcomeTimeoutError, RequestRefusedError
from kafka_saga.client.outcome import Outcome as SagaOutcome
from kafka_saga.client.outcome import outcome_of
from kafka_saga.client.requests import Request, request_of, requests_of
from kafka_saga.client.types import SagaTypes
from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.operations.checks.fitting import Mismatch, compare
from kafka_saga.orchestrator.testing import Command, Story, expect_refused, given
from kafka_saga.participants.faults import FaultKind, FaultRule, Faults
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.testing import Harness, HarnessStep, body_of
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.limits import CLIENT_OUTCOME_TIMEOUT_MS
from kafka_saga.schemas.agreement import another_request
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.ids import SagaRef, check_saga_id

__all__ = [
    "Command",
    "Effect",
    "EventKind",
    "FaultKind",
    "FaultRule",
    "Faults",
    "Harness",
    "HarnessStep",
    "Hold",
    "InMemorySagas",
    "Mismatch",
    "Outcome",
    "Reason",
    "SagaState",
    "Story",
    "body_of",
    "check",
    "expect_refused",
    "given",
]


def check(
    sagas: Saga | Iterable[Saga], participants: Iterable[Participant], *, allow_unused: bool = False
) -> list[Mismatch]:
    """Whether everything that sagas send finds a handler that fits, as `saga check` says; the notes, if it does.

    Args:
        sagas: one definition, or all that the participants serve, with every version that may still run.
        participants: those written in Python; a service without one here is a note.
        allow_unused: handlers that none of these sagas sends are fine: sagas elsewhere use them.

    Raises:
        AssertionError: something does not fit; one line for each, with what to do.
        DefinitionError: what is given are no sagas and participants.

    """
    definitions, given_participants = [sagas] if isinstance(sagas, Saga) else list(sagas), list(participants)
    for place in (*definitions, *given_participants):
        if not isinstance(place, Saga | Participant):
            raise DefinitionError(
                f"check(sagas, [participants]) compares Saga and Participant objects; {place!r} is none"
            )
    found = compare(definitions, given_participants)
    allowed = {"note", "unused"} if allow_unused else {"note"}
    bad = [item for item in found if item.verdict not in allowed]
    if bad:
        raise AssertionError("sagas and participants do not fit:\n" + "\n".join(f"  {item}" for item in bad))
    return found


Answer = BaseModel | Callable[[Any], BaseModel | None]


class InMemorySagas:
    """`kafka_saga.client.Sagas` without Kafka, for the tests of services that start sagas.

    sagas = InMemorySagas(order_saga, answers={ReserveItems: ItemsReserved(reservation_id="r-1"), …})
    assert (await sagas.run(OrderRequested(…))).completed

    The real state machine decides, at once. An answer is the reply to a command, or a function of the command that
    returns the reply or raises `Rejected`. What has no reply, and what undoes, succeeds where nothing is said.
    """

    def __init__(self, *definitions: Saga, answers: Mapping[type[BaseModel], Answer] | None = None) -> None:
        self._types = SagaTypes(definitions)
        self._definitions = {one.saga_type: one for one in definitions}
        self._answers = dict(answers or {})
        self.stories: dict[SagaRef, Story] = {}
        """Every saga that was started, with what it sent and told."""
        self.actors: dict[SagaRef, str | None] = {}
        """Who asked for each of them, where that was said."""
        self._requests: dict[SagaRef, bytes] = {}

    async def start(
        self,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
    ) -> SagaRef:
        """As `SagaClient.start`; the saga has ended when it returns.

        Raises:
            UsageError: the orchestrator would refuse it.
            AssertionError: the saga sent a command whose reply is not among the answers.

        """
        return self._begin(request_of(self._types, request, saga_type=saga_type, saga_id=saga_id, actor=actor))

    async def start_many(
        self,
        requests: Sequence[BaseModel | Mapping[str, Any]],
        *,
        saga_type: str | None = None,
        actor: str | None = None,
    ) -> list[SagaRef]:
        """As `SagaClient.start_many`: all are checked before the first is carried out.

        Raises:
            UsageError, AssertionError: as `start`.

        """
        prepared = requests_of(self._types, requests, saga_type=saga_type, actor=actor)
        return [self._begin(request) for request in prepared]

    async def outcome(
        self, saga_id: str, *, saga_type: str | None = None, timeout_ms: int = CLIENT_OUTCOME_TIMEOUT_MS
    ) -> SagaOutcome:
        """As `SagaClient.outcome`; a saga that was not started is a timeout at once.

        Raises:
            OutcomeTimeoutError: there is no such saga.

        """
        ref = SagaRef(self._types.named(saga_type).saga_type, check_saga_id(saga_id))
        story = self.stories.get(ref)
        if story is None:
            raise OutcomeTimeoutError(ref, f"saga {ref} was not started, so {timeout_ms} ms changed nothing")
        found = story.record.model_dump()
        back = next((number for number, step in enumerate(story.saga.steps, 1) if step.error is not None), None)
        name = None if back is None else self._types.step_name(ref.saga_type, back)
        version = story.saga.version
        return outcome_of(ref, found, sequence=version, at_ms=story.now, turned_at=back, name=name)

    async def run(
        self,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
        timeout_ms: int = CLIENT_OUTCOME_TIMEOUT_MS,
    ) -> SagaOutcome:
        """As `SagaClient.run`.

        Raises:
            RequestRefusedError: a saga of this id was started with another request.

        """
        prepared = request_of(self._types, request, saga_type=saga_type, saga_id=saga_id, actor=actor)
        ref = self._begin(prepared)
        if decode_object(prepared.value) != decode_object(self._requests[ref]):
            raise RequestRefusedError(ref, "conflict", another_request(ref))
        return await self.outcome(ref.saga_id, saga_type=ref.saga_type, timeout_ms=timeout_ms)

    def _begin(self, request: Request) -> SagaRef:
        ref, value, actor = request
        if ref not in self.stories:
            definition = self._definitions[ref.saga_type]
            self._requests[ref] = value
            self.actors[ref] = actor
            self.stories[ref] = given(definition, decode_object(value), saga_id=ref.saga_id)
            self._carry_out(definition, self.stories[ref])
        return ref

    def _carry_out(self, definition: Saga, story: Story) -> None:
        models = {
            definition.command_type(step.name, phase): step.command(phase)
            for step in definition.steps
            for phase in step.phases
        }
        while (sent := story.unread) is not None:
            model = models[sent.command_type]
            command = story.expect_command(sent.service, model)
            answer = self._answers.get(model)
            try:
                command.succeed(answer(model.model_validate_json(sent.body)) if callable(answer) else answer)
            except Rejected as error:
                command.fail(str(error))
            except AssertionError as error:
                raise AssertionError(f"say what {model.__name__} is answered with: answers={{…}} ({error})") from error
