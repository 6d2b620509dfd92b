"""What people see of a saga: its record, its status, its step number (R4, R5, R9)."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.events import Park
from kafka_saga.orchestrator.machine.saga import current_step, status_sentence
from kafka_saga.orchestrator.machine.states import ParkReason
from kafka_saga.orchestrator.testing import Story
from tests.machine.worlds import Do, Undo, plain_saga, story_of


def seen(story: Story) -> tuple[str, int, list[int], list[int]]:
    shown = story.record
    assert shown.currentStep == current_step(story.saga)
    return status_sentence(story.saga), shown.currentStep, shown.stepsExecuted, shown.stepsCompensated


def test_a_completed_sagas_record_from_its_request_to_its_end_R4_R5() -> None:
    story = story_of(plain_saga, admitted=False)
    views = [seen(story)]
    story.admit()
    views.append(seen(story))
    for name in ("one", "two", "three"):
        story.expect_command(f"service-{name}", Do).succeed()
        views.append(seen(story))

    assert views == [
        ("PENDING", 0, [], []),
        ("STEP_1 IN_PROGRESS", 1, [], []),
        ("STEP_2 IN_PROGRESS", 2, [1], []),
        ("STEP_3 IN_PROGRESS", 3, [1, 2], []),
        ("COMPLETED", 3, [1, 2, 3], []),
    ]


def test_a_compensated_sagas_record_counts_back_to_the_last_step_undone_R4() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).succeed()
    story.expect_command("service-three", Do).fail("no")
    views = [seen(story)]
    story.expect_command("service-two", Undo).succeed()
    views.append(seen(story))
    story.expect_command("service-one", Undo).succeed()
    views.append(seen(story))

    assert views == [
        ("STEP_2 COMPENSATING", 2, [1, 2], []),
        ("STEP_1 COMPENSATING", 1, [1, 2], [2]),
        ("COMPENSATED", 1, [1, 2], [2, 1]),
    ]


def test_a_saga_of_which_one_step_alone_was_undone_ends_at_that_step_R4() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).succeed()
    story.cancel()
    story.expect_command("service-three", Do)
    story.expect_command("service-three", Undo).succeed()
    story.expect_command("service-two", Undo).succeed()
    story.expect_command("service-one", Undo).nothing_to_undo()

    assert seen(story) == ("COMPENSATED", 2, [1, 2, 3], [3, 2])


def test_a_parked_saga_shows_the_step_that_a_person_must_look_at_R4() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.apply(Park(ParkReason.OPERATOR, "look at this"))

    assert seen(story) == ("PARKED", 2, [1], [])


def test_a_saga_parked_between_two_steps_shows_the_last_one_begun_R4() -> None:
    story = story_of(plain_saga, poison=["do two"])
    story.expect_command("service-one", Do).succeed()

    assert seen(story) == ("PARKED", 1, [1], [])


def test_the_record_holds_the_request_and_the_replies_by_step() -> None:
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed({"receipt": "r-1"})

    assert story.record.data == {
        "request": {"id": "plain-1", "poison": []},
        "replies": {"one": {"receipt": "r-1"}},
    }
