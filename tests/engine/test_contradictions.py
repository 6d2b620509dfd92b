"""A service whose database was restored alone may say otherwise than it said; which of its answers those are (R59)."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.engine.replied import contradicts
from kafka_saga.orchestrator.machine.events import Replied
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import Story, given
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import ItemsReserved, ReserveItems

REQUEST = {
    "order_id": "order-1",
    "customer_id": "alice",
    "items": [{"sku": "lamp", "quantity": 1}],
    "amount": 4_990,
    "currency": "EUR",
}


def story(*, succeeds: bool) -> Story:
    """One whose first step has succeeded, or was refused."""
    found = given(order_saga, REQUEST)
    command = found.expect_command("inventory", ReserveItems)
    command.succeed(ItemsReserved(reservation_id="r-1")) if succeeds else command.fail("out of stock: lamp")
    return found


@pytest.mark.parametrize("succeeded", [True, False])
@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.RETRY])
def test_an_action_that_is_answered_the_other_way_round_contradicts(*, succeeded: bool, outcome: Outcome) -> None:
    again = Replied("reserve_inventory", Phase.FORWARD, 1, outcome, attempt=1, body={})
    other = Outcome.FAILURE if succeeded else Outcome.SUCCESS
    assert contradicts(order_saga, story(succeeds=succeeded).saga, again) == (outcome is other)


def test_what_is_no_answer_to_a_known_action_contradicts_nothing() -> None:
    saga = story(succeeds=True).saga
    undone = Replied("reserve_inventory", Phase.COMPENSATE, 1, Outcome.FAILURE, attempt=1, body={})
    unknown = Replied("of_another_version", Phase.FORWARD, 1, Outcome.FAILURE, attempt=1, body={})
    awaited = Replied("process_payment", Phase.FORWARD, 1, Outcome.FAILURE, attempt=1, body={})
    assert [contradicts(order_saga, saga, reply) for reply in (undone, unknown, awaited)] == [False, False, False]
    assert not contradicts(None, saga, awaited)
