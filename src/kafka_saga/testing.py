"""What users test their sagas and participants with: no Kafka, no waiting.

given(order_saga, {...}).expect_command("payment", ChargePayment).fail("card declined")    # a saga as a story
async with await Harness.open(payment, prepare=prepare) as harness: ...                     # a service's handlers
check(order_saga, [inventory, payment, orders])                                             # whether both fit
"""

from __future__ import annotations

from collections.abc import Iterable

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.operations.fitting import Mismatch, compare
from kafka_saga.orchestrator.testing import Command, Story, expect_refused, given
from kafka_saga.participants.faults import FaultKind, FaultRule, Faults
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.testing import Harness, HarnessStep, body_of
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.envelope import Effect, Outcome, Reason

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
