"""When a saga can be cancelled, and what is undone then: R19."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.decision import Unchanged
from kafka_saga.orchestrator.machine.events import Park, Replied
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState, StepStatus
from kafka_saga.orchestrator.testing import Story, expect_refused
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import ChargePayment, CreateOrder, RefundPayment, ReleaseItems, ReserveItems
from tests.machine.worlds import (
    CREATED,
    RESERVED,
    Do,
    order_story,
    pivot_saga,
    plain_saga,
    reading_saga,
    story_of,
)


def at_payment() -> Story:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment)
    return story


def parked_while_undoing() -> Story:
    """The refund of a late-cancelled order is refused."""
    story = at_payment()
    story.cancel()
    story.expect_command("payment", RefundPayment).fail("account closed")
    story.expect_parked("compensation_failed")
    return story


def test_a_cancel_makes_the_step_in_flight_doubtful_and_undoes_it_first_R19() -> None:
    story = at_payment()

    story.cancel("customer called")

    assert story.saga.steps[1].status is StepStatus.COMPENSATING
    story.expect_command("payment", RefundPayment).nothing_to_undo()
    story.expect_command("inventory", ReleaseItems).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error="cancelled by ops: customer called")


def test_a_cancel_during_a_backoff_stops_the_next_attempt_R19() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).retry("busy")

    story.cancel()
    story.wait(1_000)

    story.expect_command("inventory", ReleaseItems)
    story.expect_no_command()


def test_a_cancel_of_a_pending_saga_sends_nothing_R19() -> None:
    story = story_of(plain_saga, admitted=False)

    story.cancel("never mind")

    story.expect_compensated(executed=[], compensated=[], error="cancelled by ops: never mind")
    assert [event.value for event in story.events] == ["compensated"]


def test_a_cancel_of_a_saga_that_was_parked_pending_sends_nothing_R19() -> None:
    story = story_of(plain_saga, admitted=False)
    story.apply(Park(ParkReason.DEFINITION_MISSING, "no code has version 1"))

    story.cancel()

    story.expect_compensated(executed=[], compensated=[])
    assert [event.value for event in story.events] == ["parked", "compensated"]


def test_a_cancel_while_compensating_is_happening_anyway_R19() -> None:
    story = at_payment()
    story.cancel()
    before = story.saga

    assert story.cancel() == Unchanged("the saga is being compensated already")
    assert story.saga == before


@pytest.mark.parametrize("steps_done", [1, 2])
def test_a_cancel_is_refused_once_the_pivot_was_sent_R19(steps_done: int) -> None:
    story = story_of(pivot_saga)
    story.expect_command("service-hold", Do).succeed()
    pivot = story.expect_command("service-capture", Do)
    if steps_done == 2:
        pivot.succeed()
    before = story.saga

    assert "point of no return" in expect_refused(story.cancel())
    assert story.saga == before


def test_a_cancel_of_a_completed_saga_is_refused_R19() -> None:
    story = at_payment()
    story.apply(Replied("process_payment", Phase.FORWARD, 1, Outcome.SUCCESS, body={"charge_id": "ch-1"}))
    story.expect_command("orders", CreateOrder).succeed(CREATED)

    assert "completed" in expect_refused(story.cancel())


def test_a_cancel_of_a_saga_parked_while_going_forward_undoes_it() -> None:
    story = at_payment()
    story.apply(Park(ParkReason.OPERATOR, "look at this"))

    story.cancel()

    story.expect_command("payment", RefundPayment)
    assert (story.saga.state, story.saga.parked) == (SagaState.COMPENSATING, None)


def test_a_cancel_of_a_saga_parked_while_undoing_changes_nothing() -> None:
    story = parked_while_undoing()
    before = story.saga

    assert isinstance(story.cancel(), Unchanged)
    assert story.saga == before


def test_a_cancelled_step_that_changes_nothing_is_not_undone() -> None:
    story = story_of(reading_saga)
    story.expect_command("service-look", Do)

    story.cancel()

    story.expect_compensated(executed=[], compensated=[])


def test_the_error_of_a_cancelled_saga_is_bounded() -> None:
    story = at_payment()

    story.cancel("x" * 5_000)

    assert len(story.saga.error or "") == ERROR_TEXT_LENGTH_MAX
