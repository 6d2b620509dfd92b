"""What a parked saga's explanation offers is what the machine accepts, for every parked saga there can be (R18)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Decision
from kafka_saga.orchestrator.machine.events import Act, Park
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import VERBS, ParkReason, SagaState
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.operations.sagas.explaining import explain
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import Story
from kafka_saga.schemas.envelope import Reason
from kafka_saga.schemas.orders import ChargePayment, RefundPayment, ReserveItems
from tests.machine.exploration import reachable
from tests.machine.worlds import RESERVED, irreversible_saga, order_story, pivot_saga, plain_saga, reply_of


def parked_sagas(definition: Definition) -> list[Saga]:
    """Those that nobody holds: a held one has to be resumed first."""
    return [saga for saga in reachable(definition) if saga.state is SagaState.PARKED and saga.held is None]


def offered(sentence: str) -> set[str]:
    return set(re.findall(r"`saga (\w+) order-123", sentence))


def accepted(definition: Definition, saga: Saga) -> set[str]:
    """The verbs that change something."""
    index = saga.active_index
    name = None if index is None else definition.steps[index].name
    data = None if name is None else reply_of(definition, name)
    arguments: dict[str, dict[str, Any]] = {"retry": {}, "cancel": {}, "pause": {}, "resume": {}}
    arguments |= {"skip": {"step": name, "data": data}, "resolve": {"as": "completed"}}
    acts = {word: Act("act-1", VERBS[word], "ann", "told to", arguments=given) for word, given in arguments.items()}
    now = saga.updated_at + 1
    return {word for word, act in acts.items() if isinstance(advance(definition, saga, act, now), Decision)}


@pytest.mark.parametrize(
    "definition", [plain_saga, pivot_saga, irreversible_saga], ids=lambda definition: definition.saga_type
)
def test_the_verbs_offered_are_those_that_the_machine_accepts_R18(definition: Definition) -> None:
    sagas = parked_sagas(definition)
    assert sagas
    for saga in sagas:
        sentence = explain(definition, saga).replace(saga.ref.saga_id, "order-123")
        assert offered(sentence) == accepted(definition, saga), f"{saga.parked}: {sentence}"


def test_every_reason_for_parking_is_explained_with_its_own_words() -> None:
    sentences = set()
    for reason in ParkReason:
        story = order_story()
        story.apply(Park(reason, "the participant's words"))
        sentence = explain(order_saga, story.saga)
        assert f"needs a person ({reason.value}): " in sentence
        assert "the participant's words. " in sentence
        sentences.add(sentence)
    assert len(sentences) == len(ParkReason)


def test_what_helps_where_no_code_has_the_definition() -> None:
    story = order_story()
    story.apply(Park(ParkReason.DEFINITION_MISSING, "version 1 of saga 'order' is not registered"))

    assert explain(None, story.saga).endswith(
        "version 1 of saga 'order' is not registered. Start the orchestrator with its module (--app), then "
        "`saga retry order-123`; or settle all of it yourself, then "
        "`saga resolve order-123 --as compensated --reason …`."
    )


def undoing() -> Story:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment)
    story.cancel()
    return story


def test_a_compensation_that_was_refused() -> None:
    story = undoing()
    story.expect_command("payment", RefundPayment).fail("account closed")

    assert explain(order_saga, story.saga) == (
        "It is parked and needs a person (compensation_failed): undoing 'process_payment' did not work: "
        "account closed. Repair payment, then `saga retry order-123`; or undo it by hand, then "
        "`saga skip order-123 --step process_payment`; or settle all of it yourself, then "
        "`saga resolve order-123 --as compensated --reason …`."
    )


def test_a_service_that_has_forgotten_the_saga() -> None:
    story = undoing()
    story.expect_command("payment", RefundPayment).fail("too old", reason=Reason.FENCE_EXPIRED)

    sentence = explain(order_saga, story.saga)

    assert "payment has forgotten this saga" in sentence
    assert "Look into its books, undo it by hand, then `saga skip" in sentence
    assert "saga retry" not in sentence
