"""A reply as the machine's event."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.engine.inputs import Reply
from kafka_saga.orchestrator.machine.events import Replied
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import StepStatus
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.envelope import Outcome, Reason
from kafka_saga.schemas.ids import Phase, SagaRef


def contradicts(definition: Definition | None, saga: Saga, reply: Replied) -> bool:
    """Whether a service says otherwise than it said: its database was restored alone, and it decided anew (R59)."""
    index = None if definition is None else definition.index(reply.step)
    if index is None or reply.phase is not Phase.FORWARD:
        return False
    said = saga.steps[index].status
    return (said, reply.outcome) in {(StepStatus.SUCCESS, Outcome.FAILURE), (StepStatus.FAILED, Outcome.SUCCESS)}


def replied(definition: Definition, reply: Reply, told: Mapping[SagaRef, str]) -> Replied:
    """The reply as an event, its body read; `told` is why sagas failed in an earlier life of the store (R59).

    Raises:
        ContractError: the body is not a JSON object, or does not fit the step's reply.

    """
    head = reply.head
    command = head.command
    index = definition.index(command.step)
    assert index is not None, "checked with the topic"
    if head.outcome is Outcome.SUCCESS and command.phase is Phase.FORWARD:
        body = definition.reply_document(index, reply.value)
        size = len(reply.value or b"")
    else:
        document = decode_object(reply.value)
        error = document.get("error")
        if head.reason is Reason.FENCED:
            error = told.get(reply.ref, error)  # that it was undone is no reason
        # Only the words for people are kept of what is no result.
        body, size = ({"error": error} if isinstance(error, str) else {}), 0
    return Replied(
        command.step,
        command.phase,
        command.epoch,
        head.outcome,
        head.attempt,
        head.effect,
        head.reason,
        body,
        size,
        reply.origin,
    )
