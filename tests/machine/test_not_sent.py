"""A command that its topic does not take: its saga learns so at once. R56."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.decision import Ignored
from kafka_saga.orchestrator.machine.events import NotSent
from kafka_saga.orchestrator.machine.states import IgnoredReason, StepStatus
from kafka_saga.orchestrator.testing import Command
from kafka_saga.schemas.ids import Phase
from tests.machine.worlds import Do, Undo, pivot_saga, plain_saga, story_of

TEXT = "inventory.commands takes no message of 300,000 bytes"


def not_sent(command: Command, *, may_be_out: bool = False, attempt: int = 1) -> NotSent:
    step, phase, epoch = command.sent.command_id.step, command.sent.command_id.phase, command.sent.command_id.epoch
    return NotSent(step, phase, epoch, attempt, "too_large", TEXT, may_be_out=may_be_out)


def test_nothing_happened_so_only_the_steps_before_are_undone() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()

    story.apply(not_sent(story.expect_command("service-two", Do)))

    assert story.saga.steps[1].status is StepStatus.FAILED
    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error=TEXT)


def test_a_step_of_which_a_copy_may_be_out_is_in_doubt_and_undone_first() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()

    story.apply(not_sent(story.expect_command("service-two", Do), may_be_out=True))

    story.expect_command("service-two", Undo).nothing_to_undo()
    story.expect_command("service-one", Undo).succeed()
    story.expect_compensated(executed=[1], compensated=[1], error=TEXT)


def test_a_step_whose_earlier_attempt_was_sent_is_in_doubt() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).time_out()
    story.wait(1_000)

    story.apply(not_sent(story.expect_command("service-one", Do, attempt=2), attempt=2))

    story.expect_command("service-one", Undo).nothing_to_undo()
    story.expect_compensated(executed=[], compensated=[], error=TEXT)


def test_a_compensation_that_cannot_be_sent_parks_the_saga_R18() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).fail("no")

    story.apply(not_sent(story.expect_command("service-one", Undo)))

    story.expect_parked("compensation_failed")


def test_a_pivot_that_surely_did_not_happen_is_undone_like_any_step_R19() -> None:
    story = story_of(pivot_saga)
    story.expect_command("service-hold", Do).succeed()

    story.apply(not_sent(story.expect_command("service-capture", Do)))

    story.expect_command("service-hold", Undo).succeed()


def test_a_pivot_of_which_a_copy_may_be_out_parks_the_saga_R19() -> None:
    story = story_of(pivot_saga)
    story.expect_command("service-hold", Do).succeed()

    story.apply(not_sent(story.expect_command("service-capture", Do), may_be_out=True))

    story.expect_parked("pivot_unresolved")


def test_what_is_said_of_an_attempt_that_is_over_changes_nothing() -> None:
    story = story_of(plain_saga)
    first = story.expect_command("service-one", Do)
    first.time_out()
    story.wait(1_000)
    story.expect_command("service-one", Do, attempt=2)

    assert story.apply(not_sent(first)) == Ignored(IgnoredReason.OTHER_ATTEMPT)
    assert first.sent.command_id.phase is Phase.FORWARD
