"""Which replies count, and what they do: R6, R7, R8, R9, R11, R12."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafka_saga.orchestrator.definition import Retry
from kafka_saga.orchestrator.machine.decision import Decision, Ignored
from kafka_saga.orchestrator.machine.events import Origin, Replied, ReplyUnreadable
from kafka_saga.orchestrator.machine.folding import fold
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus, SagaState, StepStatus
from kafka_saga.orchestrator.testing import Story
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX, LOG_ROWS_MAX, SAGA_DATA_BYTES_MAX
from kafka_saga.schemas.envelope import Outcome, Reason
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import ChargePayment, CreateOrder, ReleaseItems, ReserveItems
from tests.machine.worlds import (
    CHARGED,
    CREATED,
    RESERVED,
    Do,
    Undo,
    order_story,
    plain_saga,
    reading_saga,
    saga,
    single_saga,
    step,
    story_of,
)


def test_each_success_sends_the_next_command_and_the_last_one_completes_the_saga() -> None:
    story = order_story()

    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment).succeed(CHARGED)
    create = story.expect_command("orders", CreateOrder)
    assert (create.body["reservation_id"], create.body["charge_id"]) == ("r-1", "ch-1")
    create.succeed(CREATED)

    story.expect_completed()
    assert [event.value for event in story.events] == [
        "started",
        "step_succeeded",
        "step_succeeded",
        "completed",
    ]
    assert story.record.data["replies"] == {
        "reserve_inventory": {"reservation_id": "r-1"},
        "process_payment": {"charge_id": "ch-1"},
        "create_order": {"order_number": "A-17"},
    }


def test_a_command_is_named_by_saga_step_phase_and_epoch_and_keeps_its_id_when_sent_again_R2() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)

    reserve.retry("busy")
    story.wait(1_000)
    again = story.expect_command("inventory", ReserveItems)

    assert str(reserve.sent.command_id) == "order/order-123/reserve_inventory/forward/1"
    assert again.sent == reserve.sent._replace(attempt=2)


def test_a_refusal_undoes_what_happened_before_it_and_not_the_refused_step_R8() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).fail("no")

    story.expect_command("service-one", Undo).succeed()

    story.expect_compensated(executed=[1], compensated=[1], error="no")


def test_a_refused_first_step_ends_the_saga_with_both_lists_empty_R9() -> None:
    story = story_of(single_saga)

    story.expect_command("service-only", Do).fail("sold out")

    story.expect_compensated(executed=[], compensated=[], error="sold out")
    assert story.record.currentStep == 0


@pytest.mark.parametrize("ending", ["timeouts", "retries", "both"])
def test_a_step_that_ends_without_a_refusal_is_in_doubt_and_undone_first_R8(ending: str) -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()

    two = story.expect_command("service-two", Do)
    two.time_out() if ending == "timeouts" else two.retry("busy")
    story.wait(1_000)
    again = story.expect_command("service-two", Do, attempt=2)
    again.retry("busy") if ending == "retries" else again.time_out()

    story.expect_command("service-two", Undo).succeed()
    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1, 2], compensated=[2, 1])


def test_timeouts_and_retries_share_one_counter_R8() -> None:
    story = order_story()

    story.expect_command("inventory", ReserveItems, attempt=1).retry("busy")
    story.wait(1_000)
    story.expect_command("inventory", ReserveItems, attempt=2).time_out()
    story.wait(2_000)
    story.expect_command("inventory", ReserveItems, attempt=3).retry("busy")
    story.wait(4_000)
    story.expect_command("inventory", ReserveItems, attempt=4).time_out()

    story.expect_command("inventory", ReleaseItems, attempt=1)


def test_a_compensation_counts_its_attempts_by_its_own_policy_R8() -> None:
    patient = step("only", retry=Retry(retries_max=0), compensation_retry=Retry(retries_max=2))
    story = story_of(saga("patient", patient))
    story.expect_command("service-only", Do).retry("busy")

    story.expect_command("service-only", Undo, attempt=1).retry("busy")
    story.wait(1_000)
    story.expect_command("service-only", Undo, attempt=2).time_out()
    story.wait(2_000)
    story.expect_command("service-only", Undo, attempt=3).succeed()

    story.expect_compensated(executed=[1], compensated=[1])


def test_a_step_in_doubt_that_never_happened_is_in_neither_list_R9() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).time_out()
    story.wait(1_000)
    story.expect_command("service-two", Do).time_out()

    story.expect_command("service-two", Undo).nothing_to_undo()
    story.expect_command("service-one", Undo).succeed()

    story.expect_compensated(executed=[1], compensated=[1])


def test_a_step_that_succeeded_stays_executed_when_there_was_nothing_to_undo_R9() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).fail("no")

    story.expect_command("service-one", Undo).nothing_to_undo()

    story.expect_compensated(executed=[1], compensated=[])
    assert story.record.currentStep == 0


def test_a_step_with_nothing_to_undo_is_skipped_on_the_way_back_R19() -> None:
    story = story_of(reading_saga)
    story.expect_command("service-look", Do).succeed()
    story.expect_command("service-book", Do).succeed()
    story.expect_command("service-check", Do).fail("no")

    story.expect_command("service-book", Undo).succeed()

    story.expect_compensated(executed=[1, 2], compensated=[2])


def test_a_retry_counts_only_for_the_attempt_in_flight_R7() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    reserve.retry("busy")

    assert reserve.retry("busy") == Ignored(IgnoredReason.OTHER_ATTEMPT)
    story.wait(1_000)
    again = story.expect_command("inventory", ReserveItems, attempt=2)
    assert reserve.retry("busy") == Ignored(IgnoredReason.OTHER_ATTEMPT)
    assert isinstance(again.retry("busy"), Decision)


def test_a_retry_without_an_attempt_is_for_the_current_one_R7() -> None:
    story = order_story()
    story.wait(6_000)

    result = story.apply(Replied("reserve_inventory", Phase.FORWARD, 1, Outcome.RETRY))

    assert isinstance(result, Decision)
    assert [(row.status, row.attempt) for row in result.log] == [(LogStatus.RETRY, 2)]


def test_a_compensations_answer_to_an_earlier_attempt_counts_R7() -> None:
    story = story_of(single_saga)
    story.expect_command("service-only", Do).time_out()
    story.wait(6_000)
    story.expect_command("service-only", Do)
    undo = story.expect_command("service-only", Undo, attempt=1)
    undo.time_out()

    undo.succeed()

    story.expect_compensated(executed=[1], compensated=[1])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Replied("one", Phase.FORWARD, 1, Outcome.SUCCESS), IgnoredReason.DUPLICATE),
        (Replied("one", Phase.FORWARD, 1, Outcome.FAILURE), IgnoredReason.DUPLICATE),
        (Replied("two", Phase.FORWARD, 2, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
        (Replied("two", Phase.COMPENSATE, 1, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
        (Replied("three", Phase.FORWARD, 1, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
        (Replied("nowhere", Phase.FORWARD, 1, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
    ],
)
def test_a_reply_that_is_not_awaited_is_ignored_with_its_reason(reply: Replied, reason: IgnoredReason) -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    before = story.saga

    assert story.apply(reply) == Ignored(reason)
    assert story.saga == before


def test_a_late_success_is_logged_once_also_when_it_names_no_attempt_R11() -> None:
    story = in_doubt_and_being_undone()
    late = Replied("only", Phase.FORWARD, 1, Outcome.SUCCESS)

    result = story.apply(late)

    assert isinstance(result, Decision)
    assert [(row.step, row.status, row.attempt) for row in result.log] == [("only", LogStatus.LATE_SUCCESS, 2)]
    assert result.effects == ()
    assert story.apply(late) == Ignored(IgnoredReason.NOT_AWAITED)


def test_a_late_refusal_while_the_step_is_being_undone_changes_nothing_R11() -> None:
    story = in_doubt_and_being_undone()

    result = story.apply(Replied("only", Phase.FORWARD, 1, Outcome.FAILURE))

    assert result == Ignored(IgnoredReason.NOT_AWAITED)


def test_the_duplicate_of_a_success_is_no_late_success_while_its_step_is_being_undone_R11() -> None:
    story = story_of(plain_saga)
    one = story.expect_command("service-one", Do)
    one.succeed()
    story.expect_command("service-two", Do).fail("no")

    assert one.succeed() == Ignored(IgnoredReason.NOT_AWAITED)


def test_an_unreadable_reply_is_one_log_row_and_the_attempt_goes_on_R12() -> None:
    story = order_story()
    before = story.saga
    origin = Origin("inventory.replies", 3, 17, "r-1")

    result = story.apply(ReplyUnreadable("reserve_inventory", Phase.FORWARD, 1, "bad_json", "not JSON", origin))

    assert isinstance(result, Decision)
    assert [(row.step, row.status, row.attempt, row.detail["cause"]) for row in result.log] == [
        ("reserve_inventory", LogStatus.IN_PROGRESS, 1, "bad_json")
    ]
    assert result.effects == ()
    assert story.saga == replace(before, version=before.version + 1, log_seq=before.log_seq + 1)


@pytest.mark.parametrize(
    ("phase", "epoch"), [(Phase.FORWARD, 2), (Phase.COMPENSATE, 1)], ids=["another epoch", "another phase"]
)
def test_an_unreadable_reply_to_another_command_is_ignored_R12(phase: Phase, epoch: int) -> None:
    story = order_story()

    result = story.apply(ReplyUnreadable("reserve_inventory", phase, epoch, "bad_json", "not JSON"))

    assert result == Ignored(IgnoredReason.NOT_AWAITED)


def test_a_redriven_reply_finds_the_step_that_still_waits_for_it_R12() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    story.apply(ReplyUnreadable("reserve_inventory", Phase.FORWARD, 1, "bad_json", "not JSON"))

    reserve.succeed(RESERVED)

    story.expect_command("payment", ChargePayment)


@pytest.mark.parametrize(
    ("body", "reason", "error"),
    [
        ({"error": "sold out"}, Reason.REJECTED, "sold out"),
        ({"error": "x" * 5_000}, Reason.REJECTED, "x" * ERROR_TEXT_LENGTH_MAX),
        ({"error": ""}, Reason.UNREADABLE, "unreadable"),
        ({"error": {"code": 7}}, None, "one: failure"),
        ({}, None, "one: failure"),
    ],
)
def test_the_error_of_a_refusal_is_text_for_people_and_bounded(
    body: dict[str, object], reason: Reason | None, error: str
) -> None:
    story = story_of(plain_saga)

    story.apply(Replied("one", Phase.FORWARD, 1, Outcome.FAILURE, reason=reason, body=body))

    assert (story.saga.error, story.saga.steps[0].error) == (error, error)


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.RETRY])
def test_the_error_of_a_compensation_is_bounded_too(outcome: Outcome) -> None:
    story = in_doubt_and_being_undone()

    story.apply(Replied("only", Phase.COMPENSATE, 1, outcome, body={"error": "x" * 5_000}))

    assert story.saga.steps[0].error == "x" * ERROR_TEXT_LENGTH_MAX


def test_a_reply_that_would_pass_the_data_limit_parks_the_saga_with_the_step_done() -> None:
    story = story_of(plain_saga)
    room = SAGA_DATA_BYTES_MAX - story.saga.data_bytes

    story.apply(Replied("one", Phase.FORWARD, 1, Outcome.SUCCESS, body={}, body_bytes=room))
    story.expect_command("service-one", Do)
    story.expect_command("service-two", Do)
    story.apply(Replied("two", Phase.FORWARD, 1, Outcome.SUCCESS, body={"blob": "…"}, body_bytes=1))

    story.expect_parked("data_limit")
    two = story.saga.steps[1]
    assert (two.status, two.executed, two.reply, two.wake_at) == (StepStatus.SUCCESS, True, None, None)


def test_nothing_is_expected_of_a_saga_that_was_not_admitted_yet_R5() -> None:
    story = story_of(plain_saga, admitted=False)

    assert story.apply(Replied("one", Phase.FORWARD, 1, Outcome.SUCCESS)) == Ignored(IgnoredReason.NOT_ADMITTED)
    assert (story.saga.state, story.saga.wake_at, story.record.currentStep) == (SagaState.PENDING, None, 0)


def in_doubt_and_being_undone() -> Story:
    """The single saga after both its attempts timed out."""
    story = story_of(single_saga)
    story.wait(11_000)
    assert story.saga.state is SagaState.COMPENSATING
    return story


def test_a_service_that_answers_rubbish_for_ever_fills_no_log_R12() -> None:
    story = story_of(plain_saga)
    rubbish = ReplyUnreadable("one", Phase.FORWARD, 1, "bad_schema", "no such field")
    results = [story.apply(rubbish) for _ in range(2 * LOG_ROWS_MAX)]
    assert story.saga.log_seq == len(story.log) == LOG_ROWS_MAX
    assert results[-1] == Ignored(IgnoredReason.LOG_FULL)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do)
    assert fold(plain_saga, story_of(plain_saga, admitted=False).saga, story.log).log_seq == story.saga.log_seq
