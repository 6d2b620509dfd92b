"""Where a saga stops for a person, and how a reply sets it going again: R11, R16, R18, and the pivot of R19."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.definition import Retry
from kafka_saga.orchestrator.machine.decision import Decision, Ignored
from kafka_saga.orchestrator.machine.events import Park, Replied
from kafka_saga.orchestrator.machine.states import EventKind, IgnoredReason, ParkReason, SagaState, StepStatus
from kafka_saga.orchestrator.testing import Command, Story
from kafka_saga.runtime.limits import ATTEMPTS_MAX, BACKOFF_MS_MAX, ERROR_TEXT_LENGTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.schemas.envelope import Outcome, Reason
from kafka_saga.schemas.ids import Phase
from tests.machine.worlds import Do, Undo, irreversible_saga, pivot_saga, plain_saga, saga, step, story_of


def undoing_two() -> tuple[Story, Command]:
    """Steps one and two done, step three refused: step two is being undone."""
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).succeed()
    story.expect_command("service-three", Do).fail("no")
    return story, story.expect_command("service-two", Undo)


def at_the_pivot() -> tuple[Story, Command]:
    story = story_of(pivot_saga)
    story.expect_command("service-hold", Do).succeed()
    return story, story.expect_command("service-capture", Do)


def parked_at_the_pivot() -> tuple[Story, Command]:
    story, capture = at_the_pivot()
    story.wait(ATTEMPTS_MAX * (5_000 + BACKOFF_MS_MAX))
    for attempt in range(2, ATTEMPTS_MAX + 1):
        story.expect_command("service-capture", Do, attempt=attempt)
    story.expect_parked("pivot_unresolved")
    return story, capture


# --- compensation ---------------------------------------------------------------------------------


def test_a_refused_compensation_parks_the_saga_at_once_and_stops_there_R18() -> None:
    story, undo = undoing_two()

    undo.fail("account closed")

    story.expect_parked("compensation_failed")
    assert story.saga.parked is not None
    assert (story.saga.parked.from_state, story.saga.parked.detail) == (SagaState.COMPENSATING, "account closed")
    assert story.saga.error == "no"
    assert story.saga.steps[0].status is StepStatus.SUCCESS


@pytest.mark.parametrize("ending", ["timeouts", "retries"])
def test_a_compensation_that_stays_unanswered_parks_the_saga_R18(ending: str) -> None:
    story, undo = undoing_two()

    undo.time_out() if ending == "timeouts" else undo.retry("busy")
    story.wait(1_000)
    again = story.expect_command("service-two", Undo, attempt=2)
    again.time_out() if ending == "timeouts" else again.retry("busy")

    story.expect_parked("compensation_failed")


def test_a_parked_compensations_success_sets_the_saga_going_again_R11() -> None:
    story, undo = undoing_two()
    undo.time_out()
    story.wait(1_000)
    story.expect_command("service-two", Undo).time_out()

    undo.succeed()

    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1, 2], compensated=[2, 1], error="no")


def test_a_late_success_is_logged_once_also_while_its_undoing_is_parked_R11() -> None:
    story = story_of(plain_saga)
    one = story.expect_command("service-one", Do)
    story.cancel()
    story.expect_command("service-one", Undo).fail("account closed")
    logged, parked = len(story.log), story.saga.parked

    one.succeed()
    one.succeed()

    assert [(row.step, row.status.value) for row in story.log[logged:]] == [("one", "LATE_SUCCESS")]
    assert story.saga.parked == parked
    story.expect_parked("compensation_failed")


def test_an_expired_fence_is_never_taken_for_nothing_to_undo_R16() -> None:
    story, undo = undoing_two()

    undo.fail("this saga is older than 30 days", reason=Reason.FENCE_EXPIRED)

    story.expect_parked("fence_expired")


def test_an_expired_fence_of_an_action_parks_instead_of_undoing_R16() -> None:
    story = story_of(plain_saga)

    story.expect_command("service-one", Do).fail("too old", reason=Reason.FENCE_EXPIRED)

    story.expect_parked("fence_expired")


def test_a_stale_command_parks_instead_of_undoing_what_a_later_one_may_have_done_R8() -> None:
    """Only a store restored from a backup meets this: its operator's retry, which raised the epoch, is forgotten."""
    story = story_of(plain_saga)

    story.expect_command("service-one", Do).fail("epoch 1 is behind 2", reason=Reason.STALE)

    story.expect_parked("operator")
    assert "retry the step" in (story.saga.parked.detail if story.saga.parked else "")
    assert isinstance(story.act(EventKind.RETRY_NOW), Decision)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do)


# --- parked while going forward -------------------------------------------------------------------


def test_a_parked_actions_success_sets_the_saga_going_again_R11() -> None:
    story = story_of(plain_saga)
    one = story.expect_command("service-one", Do)
    story.apply(Park(ParkReason.DEFINITION_MISSING, "no code has version 1"))
    assert story.saga.wake_at is None

    one.succeed()

    story.expect_command("service-two", Do)
    assert (story.saga.state, story.saga.parked) == (SagaState.RUNNING, None)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Replied("one", Phase.FORWARD, 1, Outcome.FAILURE), IgnoredReason.ALREADY),
        (Replied("one", Phase.FORWARD, 1, Outcome.RETRY), IgnoredReason.ALREADY),
        (Replied("one", Phase.FORWARD, 2, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
        (Replied("one", Phase.COMPENSATE, 1, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
        (Replied("two", Phase.FORWARD, 1, Outcome.SUCCESS), IgnoredReason.NOT_AWAITED),
    ],
)
def test_other_replies_leave_a_parked_saga_alone_R11(reply: Replied, reason: IgnoredReason) -> None:
    story = story_of(plain_saga)
    story.apply(Park(ParkReason.OPERATOR, "look at this"))
    before = story.saga

    assert story.apply(reply) == Ignored(reason)
    assert story.saga == before


def test_why_a_saga_was_parked_is_bounded() -> None:
    story = story_of(plain_saga)

    story.apply(Park(ParkReason.OPERATOR, "x" * 5_000))

    assert story.saga.parked is not None
    assert len(story.saga.parked.detail) == ERROR_TEXT_LENGTH_MAX


def test_a_command_over_the_payload_limit_parks_the_saga() -> None:
    wide = saga("wide", step("one"))
    story = story_of(wide, admitted=False)
    story.saga = type(story.saga)(
        ref=story.saga.ref,
        definition_version=1,
        state=SagaState.PENDING,
        steps=story.saga.steps,
        request={"id": "x" * PAYLOAD_BYTES_MAX},
        request_bytes=PAYLOAD_BYTES_MAX,
        created_at=story.now,
        updated_at=story.now,
    )

    story.admit()

    story.expect_parked("data_limit")


# --- the pivot ------------------------------------------------------------------------------------


def test_a_pivot_in_doubt_is_sent_again_with_a_capped_backoff_then_parked_R19() -> None:
    story, _capture = parked_at_the_pivot()

    waits = [row.detail["retry_at"] - row.at for row in story.log if row.step == "capture" and "retry_at" in row.detail]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000] + [60_000] * 13
    assert story.saga.steps[0].status is StepStatus.SUCCESS


def test_a_pivots_own_policy_says_how_long_to_wait_but_not_how_often_R19() -> None:
    hasty = saga("hasty", step("capture", pivot=True, retry=Retry(backoff_ms=10, factor=1)))
    story = story_of(hasty)

    for attempt in range(1, 20):
        story.expect_command("service-capture", Do, attempt=attempt).time_out()
        story.wait(10)

    story.expect_command("service-capture", Do, attempt=20).time_out()
    story.expect_parked("pivot_unresolved")


def test_a_refused_pivot_undoes_the_others_R19() -> None:
    story, capture = at_the_pivot()

    capture.fail("card declined")

    story.expect_command("service-hold", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error="card declined")


def test_a_refusal_of_a_parked_pivot_undoes_the_others_R19() -> None:
    story, capture = parked_at_the_pivot()

    capture.fail("card declined")

    story.expect_command("service-hold", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error="card declined")


def test_a_success_of_a_parked_pivot_goes_forward_R11() -> None:
    story, capture = parked_at_the_pivot()

    capture.succeed()

    story.expect_command("service-tell", Do).succeed()
    story.expect_completed()


def test_a_pivot_parked_for_an_expired_fence_is_parked_once_R16() -> None:
    story, capture = at_the_pivot()

    assert isinstance(capture.fail("too old", reason=Reason.FENCE_EXPIRED), Decision)
    assert capture.fail("too old", reason=Reason.FENCE_EXPIRED) == Ignored(IgnoredReason.ALREADY)

    story.expect_parked("fence_expired")


@pytest.mark.parametrize("ending", ["refusal", "silence"])
def test_after_the_pivot_a_step_is_parked_and_nothing_is_undone_R19(ending: str) -> None:
    story, capture = at_the_pivot()
    capture.succeed()
    tell = story.expect_command("service-tell", Do)

    if ending == "refusal":
        tell.fail("no such address")
    else:
        story.wait(ATTEMPTS_MAX * (5_000 + BACKOFF_MS_MAX))

    assert story.saga.parked is not None
    assert (story.saga.state, story.saga.parked.reason) == (SagaState.PARKED, ParkReason.PIVOT_UNRESOLVED)
    assert {sent.command_id.phase for sent in story.sent} == {Phase.FORWARD}
    assert story.record.stepsExecuted == [1, 2]


def test_an_uncompensated_last_step_is_the_pivot_R19() -> None:
    story = story_of(irreversible_saga)

    story.expect_command("service-only", Do).fail("no")

    story.expect_compensated(executed=[], compensated=[], error="no")
