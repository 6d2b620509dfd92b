"""What a held saga does and does not do, and what happens when it goes on (docs/decisions/0009)."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.decision import Decision, Ignored, Unchanged
from kafka_saga.orchestrator.machine.events import Admitted, Park, Released
from kafka_saga.orchestrator.machine.folding import fold
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Hold, status_sentence
from kafka_saga.orchestrator.machine.states import EventKind, IgnoredReason, LogStatus, ParkReason, SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import Story, expect_refused
from kafka_saga.schemas.orders import ChargePayment, CreateOrder, RefundPayment, ReleaseItems, ReserveItems
from tests.machine.worlds import CHARGED, CREATED, RESERVED, accepted_saga, order_story, plain_saga, story_of

PAYMENT_PAUSED = Hold("service:payment", "ann", "migration", 900_000)
ORDERS_PAUSED = Hold("service:orders", "bob", "upgrade", 900_001)
TYPE_PAUSED = Hold("type:order", "ann", "stop all", 900_002)


def pause(story: Story) -> None:
    assert isinstance(story.act(EventKind.PAUSE, actor="ann", reason="maintenance"), Decision)


def resume(story: Story) -> None:
    assert isinstance(story.act(EventKind.RESUME, actor="ann", reason="done"), Decision)


def expect_folds(story: Story) -> None:
    assert fold(order_saga, accepted_saga(order_saga), story.log) == story.saga


# --- one saga -------------------------------------------------------------------------------------


def test_a_held_saga_never_times_out_and_waits_anew_when_it_goes_on() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    pause(story)

    story.wait(3_600_000)

    assert status_sentence(story.saga) == "STEP_1 IN_PROGRESS (held)"
    resume(story)
    story.expect_no_command()  # the one in flight is in the topic: sending it again would spend an attempt
    assert story.saga.wake_at == story.now + 5_000
    reserve.succeed(RESERVED)
    story.expect_command("payment", ChargePayment, attempt=1)
    expect_folds(story)


def test_the_reply_of_a_held_saga_is_taken_and_its_next_command_waits() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    pause(story)

    reserve.succeed(RESERVED)

    story.expect_no_command()
    assert story.record.stepsExecuted == [1]
    resume(story)
    story.expect_command("payment", ChargePayment, attempt=1).succeed(CHARGED)
    expect_folds(story)


def test_a_held_saga_that_fails_undoes_nothing_until_it_goes_on() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    charge = story.expect_command("payment", ChargePayment)
    pause(story)

    charge.fail("card declined")

    story.expect_no_command()
    assert story.saga.state is SagaState.COMPENSATING
    resume(story)
    story.expect_command("inventory", ReleaseItems).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error="card declined")
    expect_folds(story)


def test_a_held_saga_may_end_by_a_reply() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment).succeed(CHARGED)
    create = story.expect_command("orders", CreateOrder)
    pause(story)

    create.succeed(CREATED)

    story.expect_completed()
    assert story.saga.held is None
    expect_folds(story)


def test_a_backoff_that_was_held_ends_when_the_saga_goes_on() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    pause(story)
    reserve.retry("busy")
    story.wait(60_000)
    story.expect_no_command()

    resume(story)

    assert story.expect_command("inventory", ReserveItems, attempt=2).sent.command_id == reserve.sent.command_id
    expect_folds(story)


def test_a_pending_saga_that_is_held_is_not_admitted_R5() -> None:
    story = story_of(plain_saga, admitted=False)
    pause(story)

    assert story.admit() == Ignored(IgnoredReason.HELD)
    resume(story)
    assert isinstance(story.admit(), Decision)


def test_a_cancelled_saga_that_is_held_undoes_when_it_goes_on_R19() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems)
    pause(story)

    story.cancel()

    story.expect_no_command()
    resume(story)
    story.expect_command("inventory", ReleaseItems)
    expect_folds(story)


def test_pausing_and_resuming_twice_is_once_R25() -> None:
    story = order_story()
    pause(story)
    version = story.saga.version

    assert story.act(EventKind.PAUSE) == Unchanged("the saga is held by ann: maintenance already")
    resume(story)
    assert story.act(EventKind.RESUME) == Unchanged("the saga is not held")
    assert story.saga.version == version + 1


def test_a_parked_saga_cannot_be_held_but_a_hold_outlives_its_parking() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems)
    pause(story)
    story.apply(Park(ParkReason.OPERATOR, "look at this"))
    story.expect_parked("operator")

    assert "parked" in expect_refused(story.act(EventKind.PAUSE))
    assert "resume it first" in expect_refused(story.act(EventKind.RETRY_NOW))
    resume(story)
    assert isinstance(story.act(EventKind.RETRY_NOW), Decision)
    expect_folds(story)


@pytest.mark.parametrize("verb", [EventKind.RETRY_NOW, EventKind.SKIP])
def test_a_held_saga_between_two_steps_has_nothing_to_retry_or_skip(verb: EventKind) -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    pause(story)
    reserve.succeed(RESERVED)

    assert expect_refused(story.act(verb, step="process_payment"))


# --- a service, or a type -------------------------------------------------------------------------


def test_a_saga_is_held_when_its_next_command_would_go_to_a_paused_service() -> None:
    story = order_story()
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED

    story.expect_command("inventory", ReserveItems).succeed(RESERVED)

    story.expect_no_command()
    assert story.saga.held == PAYMENT_PAUSED
    assert story.log[-1].status is LogStatus.ACT
    assert story.apply(Released()) == Ignored(IgnoredReason.ALREADY)
    story.pauses.clear()
    story.apply(Released())
    story.expect_command("payment", ChargePayment, attempt=1)
    expect_folds(story)


def test_the_silence_of_a_paused_service_spends_no_attempt() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    charge = story.expect_command("payment", ChargePayment)
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED

    story.wait(3_600_000)

    assert LogStatus.TIMEOUT not in [row.status for row in story.log]
    assert story.saga.held == PAYMENT_PAUSED
    charge.succeed(CHARGED)  # the service has a last one in hand: its reply counts, and frees the saga
    story.expect_command("orders", CreateOrder)
    assert story.saga.held is None
    expect_folds(story)


def test_a_saga_held_for_one_service_may_come_to_be_held_for_another() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    charge = story.expect_command("payment", ChargePayment)
    story.pauses |= {PAYMENT_PAUSED.scope: PAYMENT_PAUSED, ORDERS_PAUSED.scope: ORDERS_PAUSED}
    story.wait(10_000)

    charge.succeed(CHARGED)

    story.expect_no_command()
    assert story.saga.held == ORDERS_PAUSED
    expect_folds(story)


def test_a_cancel_does_not_wait_for_a_paused_service_that_it_does_not_need_R19() -> None:
    story = order_story()
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)

    story.cancel()

    story.expect_command("inventory", ReleaseItems).succeed()
    story.expect_compensated(executed=[1], compensated=[1])
    expect_folds(story)


def test_a_refund_waits_for_the_paused_service() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment)
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED

    story.cancel()

    story.expect_no_command()
    story.pauses.clear()
    story.apply(Released())
    story.expect_command("payment", RefundPayment, attempt=1)
    expect_folds(story)


def test_one_saga_cannot_be_resumed_against_the_pause_that_holds_it() -> None:
    story = order_story()
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)

    assert "service payment is paused" in expect_refused(story.act(EventKind.RESUME))


def test_a_saga_resumed_by_hand_is_held_again_by_a_paused_service() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    pause(story)
    reserve.succeed(RESERVED)
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED

    resume(story)

    story.expect_no_command()
    assert story.saga.held == PAYMENT_PAUSED
    expect_folds(story)


def test_a_persons_hold_outlives_the_pause_of_a_service() -> None:
    story = order_story()
    story.pauses[PAYMENT_PAUSED.scope] = PAYMENT_PAUSED
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)

    pause(story)
    story.pauses.clear()

    assert story.apply(Released()) == Ignored(IgnoredReason.ALREADY)
    resume(story)
    story.expect_command("payment", ChargePayment)


def test_sagas_under_way_of_a_paused_type_stop_at_their_next_command() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    story.pauses[TYPE_PAUSED.scope] = TYPE_PAUSED

    reserve.succeed(RESERVED)

    story.expect_no_command()
    assert story.saga.held is not None
    assert describe(story.saga.held) == "held by ann: stop all, all sagas of type order are paused"
    expect_folds(story)


def test_a_saga_admitted_to_a_paused_first_service_is_held_and_folds_R28() -> None:
    story = story_of(order_saga, admitted=False)
    hold = Hold("service:inventory", "ann", "stocktaking", 1)
    story.pauses[hold.scope] = hold

    story.apply(Admitted())

    assert (story.saga.state, story.saga.held) == (SagaState.RUNNING, hold)
    expect_folds(story)
