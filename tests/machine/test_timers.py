"""Timeouts, backoffs and late publication: R7, R8, R21, R27."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.definition import Retry
from kafka_saga.orchestrator.machine.backoff import attempts_max, backoff_ms
from kafka_saga.orchestrator.machine.decision import Decision, Ignored
from kafka_saga.orchestrator.machine.events import TimerFired
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus
from kafka_saga.orchestrator.testing import Story
from kafka_saga.runtime.limits import ATTEMPTS_MAX, BACKOFF_MS_MAX
from kafka_saga.schemas.orders import ReserveItems
from tests.machine.worlds import Do, Undo, order_story, single_saga, story_of


def being_undone() -> Story:
    story = story_of(single_saga)
    story.wait(11_000)
    story.expect_command("service-only", Do)
    story.expect_command("service-only", Do)
    story.expect_command("service-only", Undo)
    return story


def test_a_command_waits_for_its_reply_until_its_deadline_and_not_less_I17() -> None:
    story = order_story()

    story.now += 4_999
    assert story.fire_timer() == Ignored(IgnoredReason.NOT_DUE)
    story.now += 1
    result = story.fire_timer()

    assert isinstance(result, Decision)
    assert [(row.status, row.detail["error"]) for row in result.log] == [(LogStatus.TIMEOUT, "no reply within 5 s")]
    assert story.saga.wake_at == story.now + 1_000


def test_a_timer_that_was_moved_by_a_reply_is_not_due_I17() -> None:
    story = order_story()
    reserve = story.expect_command("inventory", ReserveItems)
    reserve.retry("busy")
    story.now += 1_000
    story.fire_timer()

    assert story.fire_timer() == Ignored(IgnoredReason.NOT_DUE)


def test_a_command_published_late_gets_its_whole_timeout_from_then_R21() -> None:
    story = order_story()
    published_at = story.now + 60_000
    story.now += 61_000

    result = story.apply(TimerFired(published_at))

    assert isinstance(result, Decision)
    assert result.effects == ()
    assert [(row.status, row.attempt) for row in result.log] == [(LogStatus.IN_PROGRESS, 1)]
    assert story.saga.steps[0].deadline_at == published_at + 5_000
    story.now = published_at + 5_000
    fired = story.apply(TimerFired(published_at))
    assert isinstance(fired, Decision)
    assert [row.status for row in fired.log] == [LogStatus.TIMEOUT]


def test_a_compensation_published_late_gets_its_whole_timeout_too_R21() -> None:
    story = being_undone()
    published_at = story.now + 60_000
    story.now += 61_000

    result = story.apply(TimerFired(published_at))

    assert isinstance(result, Decision)
    assert [(row.status, row.attempt) for row in result.log] == [(LogStatus.COMPENSATING, 1)]
    assert story.saga.steps[0].deadline_at == published_at + 5_000
    story.now = published_at + 5_000
    story.apply(TimerFired(published_at))
    assert story.saga.steps[0].retry_at == story.now + 1_000


def test_a_command_published_at_once_is_not_given_more_time_R21() -> None:
    story = order_story()
    published_at = story.now
    story.now += 5_000

    story.apply(TimerFired(published_at))

    assert story.log[-1].status is LogStatus.TIMEOUT


def test_the_end_of_a_backoff_does_not_ask_when_the_last_attempt_was_published_R21() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).retry("busy")
    story.now += 1_000

    story.apply(TimerFired(published_at=story.now))

    story.expect_command("inventory", ReserveItems, attempt=2)


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        (Retry(), [1_000, 2_000, 4_000, 8_000]),
        (Retry(backoff_ms=500, factor=1), [500, 500, 500, 500]),
        (Retry(backoff_ms=0), [0, 0, 0, 0]),
        (Retry(backoff_ms=1_000, factor=10, backoff_ms_max=5_000), [1_000, 5_000, 5_000, 5_000]),
        (Retry(backoff_ms=3, factor=1.5), [3, 4, 7, 10]),
    ],
)
def test_a_backoff_grows_by_its_factor_up_to_its_ceiling(retry: Retry, waits: list[int]) -> None:
    assert [backoff_ms(retry, attempt) for attempt in (1, 2, 3, 4)] == waits


def test_no_backoff_is_longer_than_a_minute_whatever_its_numbers() -> None:
    wildest = Retry(retries_max=19, backoff_ms=60_000, factor=100)

    assert {backoff_ms(wildest, attempt) for attempt in range(1, ATTEMPTS_MAX + 1)} == {BACKOFF_MS_MAX}


def test_a_command_is_sent_once_and_then_as_often_as_its_retries_say() -> None:
    assert [attempts_max(Retry(retries_max=n), forward_only=False) for n in (0, 3, 19)] == [1, 4, 20]
    assert attempts_max(Retry(), forward_only=False) == 4
    assert attempts_max(Retry(), forward_only=True) == ATTEMPTS_MAX
