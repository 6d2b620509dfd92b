"""`kafka_saga.testing`: what users test their own sagas with. It must fail when the saga does something else."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import kafka_saga.orchestrator.testing
from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import Story, expect_refused, given
from kafka_saga.schemas.orders import ReleaseItems, ReserveItems
from tests.machine.worlds import CHARGED, ORDER, RESERVED, Asked, Do, order_story, pivot_saga, step, story_of


def test_the_example_in_the_documentation_runs() -> None:
    documentation = inspect.getdoc(kafka_saga.orchestrator.testing) or ""
    assert documentation.count(">>>") > 5

    failures, tried = doctest.testmod(kafka_saga.orchestrator.testing)

    assert (failures, tried > 5) == (0, True)


def test_a_story_starts_from_a_model_or_from_plain_json() -> None:
    from_model = given(order_saga, ORDER)
    from_json = given(order_saga, ORDER.model_dump(mode="json"))

    assert from_model.saga == from_json.saga


def test_a_story_shows_where_the_saga_is_and_what_it_sent() -> None:
    story = order_story()

    assert repr(story) == (
        "saga order/order-123 is STEP_1 IN_PROGRESS; commands not expected yet: reserveItems to inventory (attempt 1)"
    )


def expecting_nothing(story: Story) -> None:
    story.expect_no_command()


def expecting_the_end(story: Story) -> None:
    story.expect_completed()


def expecting_another_service(story: Story) -> None:
    story.expect_command("payment", ReserveItems)


def expecting_another_command(story: Story) -> None:
    story.expect_command("inventory", ReleaseItems)


def expecting_another_attempt(story: Story) -> None:
    story.expect_command("inventory", ReserveItems, attempt=2)


def expecting_other_fields(story: Story) -> None:
    story.expect_command("inventory", ReserveItems(order_id="order-124", items=ORDER.items))


def expecting_too_much(story: Story) -> None:
    story.expect_command("inventory", ReserveItems)
    story.expect_command("inventory", ReserveItems)


def answering_with_another_reply(story: Story) -> None:
    story.expect_command("inventory", ReserveItems).succeed(CHARGED)


def answering_without_the_reply(story: Story) -> None:
    story.expect_command("inventory", ReserveItems).succeed()


def answering_with_a_wrong_field(story: Story) -> None:
    story.expect_command("inventory", ReserveItems).succeed({"reservation_id": 7})


def timing_out_what_was_answered(story: Story) -> None:
    reserve = story.expect_command("inventory", ReserveItems)
    reserve.succeed(RESERVED)
    reserve.time_out()


def timing_out_in_a_backoff(story: Story) -> None:
    reserve = story.expect_command("inventory", ReserveItems)
    reserve.retry("busy")
    reserve.time_out()


def expecting_other_steps(story: Story) -> None:
    story.expect_command("inventory", ReserveItems).fail("no")
    story.expect_compensated(executed=[1])


def expecting_another_error(story: Story) -> None:
    story.expect_command("inventory", ReserveItems).fail("no")
    story.expect_compensated(error="yes")


def expecting_another_reason(story: Story) -> None:
    story.expect_command("inventory", ReserveItems).retry("busy")
    story.cancel()
    story.expect_command("inventory", ReleaseItems).fail("no")
    story.expect_parked("operator")


def expecting_a_refusal(story: Story) -> None:
    expect_refused(story.cancel())


@pytest.mark.parametrize(
    ("tell", "complaint"),
    [
        (expecting_nothing, "expected no more commands"),
        (expecting_the_end, "expected no more commands"),
        (expecting_another_service, "expected reserveItems to payment, not reserveItems to inventory"),
        (expecting_another_command, "expected releaseItems to inventory, not reserveItems to inventory"),
        (expecting_another_attempt, "expected attempt 2 of reserveItems to inventory, not attempt 1"),
        (expecting_other_fields, "order-124"),
        (expecting_too_much, "nothing was sent"),
        (answering_with_another_reply, "reserveItems is answered with succeed(ItemsReserved(...))"),
        (answering_without_the_reply, "reservation_id: Field required"),
        (answering_with_a_wrong_field, "reservation_id: Input should be a valid string"),
        (timing_out_what_was_answered, "reserveItems to inventory (attempt 1) is not awaited any more"),
        (timing_out_in_a_backoff, "is not awaited any more"),
        (expecting_other_steps, "expected stepsExecuted [1], not []"),
        (expecting_another_error, "expected error 'yes', not 'no'"),
        (expecting_another_reason, "expected to be parked for operator"),
        (expecting_a_refusal, "expected the act to be refused"),
    ],
)
def test_a_story_that_goes_otherwise_fails_and_says_how(tell: Callable[[Story], Any], complaint: str) -> None:
    with pytest.raises(AssertionError) as caught:
        tell(order_story())

    assert complaint in str(caught.value)


def test_a_saga_that_takes_its_id_from_the_key_needs_one_in_its_story_R1() -> None:
    keyed = Saga("keyed", version=1, request=Asked, steps=[step("one")])

    with pytest.raises(AssertionError, match="saga_id="):
        given(keyed, Asked(id="7"))
    assert given(keyed, Asked(id="7"), saga_id="key-7").saga.ref == ("keyed", "key-7")


def test_a_story_waits_through_every_timer_that_falls_into_the_wait() -> None:
    story = order_story()

    story.wait(13_500)

    assert [sent.attempt for sent in story.sent] == [1, 2, 3]
    assert story.now - story.saga.created_at == 13_500


def test_a_story_can_be_told_to_the_operators_end() -> None:
    story = story_of(pivot_saga)
    story.expect_command("service-hold", Do).succeed()
    story.expect_command("service-capture", Do).succeed()
    story.expect_command("service-tell", Do).fail("no such address")
    story.expect_parked("pivot_unresolved")

    story.act(EventKind.SKIP, step="tell")

    story.expect_completed()
