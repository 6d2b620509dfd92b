"""What a restore asks of a saga: R59."""

from __future__ import annotations

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.decision import Ignored, Refused
from kafka_saga.orchestrator.machine.events import Restored
from kafka_saga.orchestrator.machine.states import IgnoredReason, ParkReason, SagaState, StepStatus
from kafka_saga.orchestrator.testing import Story
from tests.machine.worlds import Do, Undo, pivot_saga, plain_saga, story_of


def test_the_awaited_command_is_sent_again_with_its_id_and_attempt_R59() -> None:
    story = story_of(plain_saga)
    first = story.expect_command("service-one", Do)

    story.apply(Restored())

    again = story.expect_command("service-one", Do, attempt=1)
    assert again.sent.command_id == first.sent.command_id
    again.succeed()
    story.expect_command("service-two", Do)


def test_an_awaited_compensation_is_sent_again_R59() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).fail("no")
    first = story.expect_command("service-one", Undo)

    story.apply(Restored(ahead=("service-one", "service-two", "service-three")))

    again = story.expect_command("service-one", Undo, attempt=1)
    assert again.sent.command_id == first.sent.command_id
    assert story.saga.steps[2].status is StepStatus.PENDING


def test_between_two_attempts_nothing_is_awaited_and_nothing_is_sent_R59() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).retry("busy")

    assert story.apply(Restored()) == Ignored(IgnoredReason.ALREADY)
    story.expect_no_command()


def test_a_saga_that_fails_also_undoes_what_services_that_are_ahead_may_have_done_R59() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do)
    story.apply(Restored(ahead=("service-two", "service-three")))

    story.expect_command("service-one", Do, attempt=1).fail("no")

    story.expect_command("service-three", Undo).nothing_to_undo()
    story.expect_command("service-two", Undo).succeed()
    story.expect_compensated(executed=[2], compensated=[2], error="no")


def test_a_saga_that_may_have_passed_its_pivot_before_parks_instead_of_undoing_R59() -> None:
    story = story_of(pivot_saga)
    story.expect_command("service-hold", Do)
    story.apply(Restored(ahead=("service-capture",)))

    story.expect_command("service-hold", Do, attempt=1).fail("no")

    story.expect_parked("pivot_unresolved")
    assert story.saga.state is SagaState.PARKED
    assert story.saga.parked is not None
    assert story.saga.parked.reason is ParkReason.PIVOT_UNRESOLVED


def pending(definition: Saga) -> Story:
    """A saga whose request was read again after a restore, and that has not begun."""
    story = story_of(definition, admitted=False)
    story.apply(Restored(ahead=tuple(step.service for step in definition.steps)))
    return story


def test_a_saga_that_is_cancelled_before_it_begins_undoes_what_an_earlier_life_may_have_done_R59() -> None:
    story = pending(plain_saga)

    story.cancel()

    story.expect_command("service-three", Undo).nothing_to_undo()
    story.expect_command("service-two", Undo).succeed()
    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1, 2], compensated=[2, 1], error="cancelled by ops: told to")


def test_a_saga_that_may_have_passed_its_pivot_before_is_not_cancelled_before_it_begins_R59() -> None:
    story = pending(pivot_saga)

    assert isinstance(story.cancel(), Refused)
    assert story.saga.state is SagaState.PENDING
