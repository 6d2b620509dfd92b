"""What an operator may do, and when: retry, skip and resolve (R14's epochs, R18, R25)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafka_saga.orchestrator.machine.decision import Decision, Refused
from kafka_saga.orchestrator.machine.events import Act, Park, Replied
from kafka_saga.orchestrator.machine.states import EventKind, LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.orchestrator.testing import Story, expect_refused
from kafka_saga.runtime.limits import SAGA_DATA_BYTES_MAX
from kafka_saga.schemas.envelope import Outcome, Reason
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import ChargePayment, CreateOrder, RefundPayment, ReleaseItems, ReserveItems
from tests.machine.worlds import (
    CHARGED,
    RESERVED,
    Do,
    Undo,
    order_story,
    plain_saga,
    story_of,
)

ACTS = (EventKind.CANCEL, EventKind.RETRY_NOW, EventKind.SKIP, EventKind.RESOLVE)


def at_order() -> Story:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment).succeed(CHARGED)
    story.expect_command("orders", CreateOrder)
    return story


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


# --- retry ----------------------------------------------------------------------------------------


def test_a_retry_skips_the_backoff_and_keeps_the_commands_id_R2() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    reserve.retry("busy")

    story.act(EventKind.RETRY_NOW)

    assert story.expect_command("inventory", ReserveItems).sent == reserve.sent._replace(attempt=2)
    assert story.saga.wake_at == story.now + 5_000


def test_a_retry_is_refused_while_an_attempt_is_in_flight() -> None:
    assert "attempt 1 is in flight" in expect_refused(at_payment().act(EventKind.RETRY_NOW))


def test_the_attempt_in_flight_is_that_of_the_way_the_saga_goes() -> None:
    story = at_payment()
    story.wait(5_000 + 1_000 + 5_000 + 2_000)  # the third attempt
    story.cancel()

    assert "attempt 1 is in flight" in expect_refused(story.act(EventKind.RETRY_NOW))


@pytest.mark.parametrize("parked", [True, False])
def test_a_retry_that_names_its_step_is_only_for_that_step(parked: bool) -> None:
    story = at_payment()
    if parked:
        story.apply(Park(ParkReason.OPERATOR, "look at this"))
    before = story.saga

    assert "stands at step 'process_payment'" in expect_refused(story.act(EventKind.RETRY_NOW, step="create_order"))
    assert story.saga == before


@pytest.mark.parametrize("poisoned", ["do two", "undo one"])
def test_a_retry_names_the_step_whose_command_could_not_be_built(poisoned: str) -> None:
    story = story_of(plain_saga, poison=[poisoned])
    story.expect_command("service-one", Do).succeed()
    if poisoned == "undo one":
        story.expect_command("service-two", Do).fail("no")
    story.expect_parked("definition_error")
    wrong, right = ("three", "two") if poisoned == "do two" else ("two", "one")

    assert f"stands at step '{right}'" in expect_refused(story.act(EventKind.RETRY_NOW, step=wrong))
    assert isinstance(story.act(EventKind.RETRY_NOW, step=right), Decision)


def test_a_retry_is_refused_where_the_service_has_forgotten_the_saga_R16() -> None:
    story = at_payment()
    story.cancel()
    story.expect_command("payment", RefundPayment).fail("too old", reason=Reason.FENCE_EXPIRED)
    before = story.saga

    assert "skip the step or resolve the saga" in expect_refused(story.act(EventKind.RETRY_NOW))
    assert story.saga == before


def test_a_retry_of_a_parked_compensation_is_a_new_epoch_R14() -> None:
    story = parked_while_undoing()

    story.act(EventKind.RETRY_NOW)

    refund = story.expect_command("payment", RefundPayment, attempt=1)
    assert str(refund.sent.command_id) == "order/order-123/process_payment/compensate/2"
    refund.succeed()
    story.expect_command("inventory", ReleaseItems).succeed()
    story.expect_compensated(executed=[1, 2], compensated=[2, 1])


def test_after_a_retry_the_old_epochs_answers_do_not_count_R14() -> None:
    story = at_payment()
    story.cancel()
    refund = story.expect_command("payment", RefundPayment)
    refund.fail("account closed")
    story.act(EventKind.RETRY_NOW)
    before = story.saga

    refund.succeed()

    assert story.saga == before


def test_a_retry_of_a_parked_action_is_a_new_epoch_R14() -> None:
    story = at_payment()
    story.apply(Park(ParkReason.OPERATOR, "look at this"))

    story.act(EventKind.RETRY_NOW)

    charge = story.expect_command("payment", ChargePayment, attempt=1)
    assert str(charge.sent.command_id) == "order/order-123/process_payment/forward/2"
    charge.succeed(CHARGED)
    story.expect_command("orders", CreateOrder)


def test_a_retry_of_a_saga_parked_pending_waits_for_admission_again_R5() -> None:
    story = story_of(plain_saga, admitted=False)
    story.apply(Park(ParkReason.DEFINITION_MISSING, "no code has version 1"))

    story.act(EventKind.RETRY_NOW)
    assert (story.saga.state, story.saga.parked) == (SagaState.PENDING, None)
    story.admit()

    story.expect_command("service-one", Do)


def test_a_retry_cannot_make_data_smaller() -> None:
    story = story_of(plain_saga)
    story.apply(Replied("one", Phase.FORWARD, 1, Outcome.SUCCESS, body={}, body_bytes=SAGA_DATA_BYTES_MAX))

    assert "too large" in expect_refused(story.act(EventKind.RETRY_NOW))
    story.cancel()
    assert story.sent[-1].command_type == "undo"


# --- parked for a command that cannot be built ----------------------------------------------------


def test_a_command_that_cannot_be_built_parks_the_saga_before_it_is_sent() -> None:
    story = story_of(plain_saga, poison=["do two"])
    story.expect_command("service-one", Do).succeed()

    story.expect_parked("definition_error")
    assert story.saga.parked is not None
    assert story.saga.parked.detail == "Do cannot be filled: ValueError: do two is poisoned"
    assert story.saga.steps[1].status is StepStatus.PENDING


@pytest.mark.parametrize("poisoned", ["do one", "do two", "do three"])
def test_a_retry_tries_to_build_the_command_again(poisoned: str) -> None:
    story = story_of(plain_saga, poison=[poisoned])
    while story.saga.state is SagaState.RUNNING:
        sent = story.sent[-1].command_id
        story.apply(Replied(sent.step, Phase.FORWARD, 1, Outcome.SUCCESS))
    assert story.saga.state is SagaState.PARKED

    story.act(EventKind.RETRY_NOW)
    assert story.saga.state is SagaState.PARKED
    story.saga = replace(story.saga, request={**story.saga.request, "poison": []})  # as repaired code would see it
    story.act(EventKind.RETRY_NOW)

    identity = story.sent[-1].command_id
    assert (story.saga.state, identity.epoch, f"do {identity.step}") == (SagaState.RUNNING, 1, poisoned)


def test_a_retry_builds_a_parked_compensation_again() -> None:
    story = story_of(plain_saga, poison=["undo one"])
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).fail("no")
    story.expect_parked("definition_error")
    story.saga = replace(story.saga, request={**story.saga.request, "poison": []})

    story.act(EventKind.RETRY_NOW)

    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error="no")


def test_a_cancel_undoes_a_saga_whose_next_command_cannot_be_built() -> None:
    story = story_of(plain_saga, poison=["do two"])
    story.expect_command("service-one", Do).succeed()

    story.cancel()

    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1])


# --- skip -----------------------------------------------------------------------------------------


def test_a_skip_goes_on_as_if_the_reply_had_come_R25() -> None:
    story = at_payment()

    story.act(EventKind.SKIP, step="process_payment", data={"charge_id": "by-hand"})

    assert story.expect_command("orders", CreateOrder).body["charge_id"] == "by-hand"
    assert story.record.stepsExecuted == [1, 2]


def test_a_skip_names_the_step_in_flight() -> None:
    story = at_payment()

    for step in (None, "reserve_inventory", "nowhere"):
        assert "'process_payment'" in expect_refused(story.act(EventKind.SKIP, step=step))


@pytest.mark.parametrize("data", [None, {}, {"charge_id": 7}, "charge_id", ["charge_id"]])
def test_a_skip_brings_the_reply_that_later_steps_need(data: object) -> None:
    story = at_payment()
    before = story.saga

    message = expect_refused(story.act(EventKind.SKIP, step="process_payment", data=data))

    assert message.startswith("later steps need the reply of 'process_payment'; give it as data: ")
    assert story.saga == before


@pytest.mark.parametrize("data", [None, {}])
def test_a_skip_of_the_last_step_needs_no_reply_since_nobody_reads_one(data: object) -> None:
    story = at_order()

    story.act(EventKind.SKIP, step="create_order", data=data)

    story.expect_completed()
    assert story.record.data["replies"].keys() == {"reserve_inventory", "process_payment"}


def test_data_of_a_skip_that_is_no_reply_is_refused_although_nobody_reads_it() -> None:
    story = at_order()

    message = expect_refused(story.act(EventKind.SKIP, step="create_order", data={"order_number": 7}))

    assert message.startswith("the data is no reply of 'create_order', and no later step needs one: ")
    assert "OrderCreated: order_number" in message


def test_a_step_that_was_skipped_without_a_reply_is_undone_like_any_other() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do)

    story.act(EventKind.SKIP, step="one")
    story.expect_command("service-two", Do).fail("no")

    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1])


def test_a_skip_of_a_parked_compensation_counts_it_as_undone() -> None:
    story = parked_while_undoing()

    story.act(EventKind.SKIP, step="process_payment")

    story.expect_command("inventory", ReleaseItems).succeed()
    story.expect_compensated(executed=[1, 2], compensated=[2, 1])


def test_a_skip_is_refused_where_no_step_is_in_flight() -> None:
    story = story_of(plain_saga, poison=["do two"])
    story.expect_command("service-one", Do).succeed()

    assert "no step is in flight" in expect_refused(story.act(EventKind.SKIP, step="two"))


# --- resolve --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "state"), [("completed", SagaState.COMPLETED), ("compensated", SagaState.COMPENSATED)]
)
def test_a_resolve_ends_a_parked_saga_as_the_person_says_R25(target: str, state: SagaState) -> None:
    story = parked_while_undoing()

    result = story.act(EventKind.RESOLVE, **{"as": target})

    assert isinstance(result, Decision)
    assert (story.saga.state, story.saga.parked, story.saga.wake_at) == (state, None, None)
    assert [event.value for event in story.events][-1] == target
    story.expect_no_command()


def test_a_resolve_says_as_what() -> None:
    story = parked_while_undoing()

    assert "completed" in expect_refused(story.act(EventKind.RESOLVE))


@pytest.mark.parametrize("admitted", [True, False])
def test_only_a_parked_saga_can_be_resolved(admitted: bool) -> None:
    story = story_of(plain_saga, admitted=admitted)

    assert "only a parked saga" in expect_refused(story.act(EventKind.RESOLVE, **{"as": "completed"}))


# --- what holds for every act ---------------------------------------------------------------------


@pytest.mark.parametrize("verb", ACTS)
@pytest.mark.parametrize(("state", "version"), [("PENDING", None), (None, 1), ("PARKED", 1), ("RUNNING", None)])
def test_an_act_meant_for_another_state_or_version_is_refused_R25(
    verb: EventKind, state: str | None, version: int | None
) -> None:
    story = parked_while_undoing()
    before = story.saga
    arguments = {"as": "completed", "step": "process_payment"}

    message = expect_refused(story.apply(Act("act-1", verb, "ops", "told to", state, version, arguments)))

    assert "look again" in message
    assert story.saga == before


@pytest.mark.parametrize("verb", [EventKind.RETRY_NOW, EventKind.SKIP, EventKind.RESOLVE])
def test_an_act_meant_for_the_very_state_and_version_is_done_R25(verb: EventKind) -> None:
    story = parked_while_undoing()
    version = story.saga.version
    arguments = {"as": "completed", "step": "process_payment"}

    result = story.apply(Act("act-1", verb, "ops", "told to", "PARKED", version, arguments))

    assert isinstance(result, Decision)
    row = result.log[0]
    assert (row.status, row.detail["verb"], row.detail["actor"], row.detail["reason"], row.detail["act_id"]) == (
        LogStatus.ACT,
        verb,
        "ops",
        "told to",
        "act-1",
    )


@pytest.mark.parametrize("verb", [EventKind.RETRY_NOW, EventKind.SKIP, EventKind.RESOLVE])
def test_nothing_can_be_done_to_a_saga_that_has_ended(verb: EventKind) -> None:
    story = story_of(plain_saga, admitted=False)
    story.cancel()

    assert story.act(verb) == Refused("the saga has ended: nothing can be changed any more")


def test_a_compensation_of_a_saga_beyond_the_fences_memory_parks_it_R16() -> None:
    story = at_payment()
    story.cancel()

    story.expect_command("payment", RefundPayment).fail("too old", reason=Reason.FENCE_EXPIRED)

    story.expect_parked("fence_expired")
