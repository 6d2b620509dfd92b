"""The example that the product was asked for: step 3 fails with "Database connection failed"."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.events import Replied
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.orchestrator.testing import Command, Story
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import (
    CancelOrder,
    ChargePayment,
    CreateOrder,
    RefundPayment,
    ReleaseItems,
    ReserveItems,
)
from tests.machine.worlds import CHARGED, CREATED, ORDER, RESERVED, order_story

ERROR = "Database connection failed"
SEED_RECORD = {
    "sagaId": "order-123",
    "state": "COMPENSATED",
    "stepsExecuted": [1, 2],
    "stepsCompensated": [2, 1],
    "error": ERROR,
}
SEED_LOG = [
    ("reserve_inventory", "SUCCESS"),
    ("process_payment", "SUCCESS"),
    ("create_order", "FAILED"),
    ("process_payment", "COMPENSATED"),
    ("reserve_inventory", "COMPENSATED"),
]
SHOWN = (LogStatus.SUCCESS, LogStatus.FAILED, LogStatus.COMPENSATED)


def seed_record(story: Story) -> dict[str, object]:
    shown = story.record.model_dump()
    return {name: shown[name] for name in SEED_RECORD}


def seed_log(story: Story) -> list[tuple[str, str]]:
    """What `saga log` shows without `--all` (R28)."""
    return [(row.step, row.status.value) for row in story.log if row.status in SHOWN]


def at_step_3() -> tuple[Story, Command]:
    story = order_story()
    story.expect_command("inventory", ReserveItems(order_id=ORDER.order_id, items=ORDER.items), attempt=1).succeed(
        RESERVED
    )
    story.expect_command(
        "payment",
        ChargePayment(order_id=ORDER.order_id, customer_id="c-1", amount=4_990, currency="EUR"),
        attempt=1,
    ).succeed(CHARGED)
    return story, story.expect_command("orders", CreateOrder, attempt=1)


def undo_steps_2_and_1(story: Story) -> None:
    story.expect_command("payment", RefundPayment(order_id=ORDER.order_id, charge_id="ch-1")).succeed()
    story.expect_command("inventory", ReleaseItems(order_id=ORDER.order_id, reservation_id="r-1")).succeed()
    story.expect_compensated()


def test_a_rejection_ends_in_the_seeds_record_and_its_five_log_rows_R10() -> None:
    story, create = at_step_3()

    create.fail(ERROR)
    undo_steps_2_and_1(story)

    assert seed_record(story) == SEED_RECORD
    assert seed_log(story) == SEED_LOG


def test_an_exception_that_persists_ends_in_the_same_record_and_rows_R10() -> None:
    story, create = at_step_3()
    began_at = story.now

    create.retry(ERROR)
    for attempt, backoff_ms in ((2, 1_000), (3, 2_000), (4, 4_000)):
        story.expect_no_command()
        story.wait(backoff_ms)
        story.expect_command("orders", CreateOrder, attempt=attempt).retry(ERROR)
    assert story.now - began_at == 7_000
    story.expect_command("orders", CancelOrder(order_id=ORDER.order_id)).nothing_to_undo()
    undo_steps_2_and_1(story)

    assert seed_record(story) == SEED_RECORD
    assert seed_log(story) == SEED_LOG


def test_silence_is_given_27_seconds_before_the_saga_is_undone_R8() -> None:
    story, _create = at_step_3()
    began_at = story.now

    story.wait(26_999)
    assert [story.expect_command("orders", CreateOrder, attempt=attempt).sent.attempt for attempt in (2, 3, 4)] == [
        2,
        3,
        4,
    ]
    story.expect_no_command()
    story.wait(1)

    story.expect_command("orders", CancelOrder, attempt=1)
    assert [(row.at - began_at, row.status.value, row.attempt) for row in story.log if row.step == "create_order"] == [
        (0, "IN_PROGRESS", 1),
        (5_000, "TIMEOUT", 1),
        (6_000, "IN_PROGRESS", 2),
        (11_000, "TIMEOUT", 2),
        (13_000, "IN_PROGRESS", 3),
        (18_000, "TIMEOUT", 3),
        (22_000, "IN_PROGRESS", 4),
        (27_000, "TIMEOUT", 4),
        (27_000, "FAILED", 4),
        (27_000, "COMPENSATING", 1),
    ]


@pytest.mark.parametrize("after_ms", [0, 4_999, 5_500, 7_000, 12_000, 14_000, 20_000, 26_999])
def test_a_success_in_any_window_before_27_seconds_completes_the_order_R7(after_ms: int) -> None:
    story, create = at_step_3()
    story.wait(after_ms)

    create.succeed(CREATED)

    assert story.record.model_dump(exclude={"data"}) == {
        "sagaId": "order-123",
        "state": "COMPLETED",
        "currentStep": 3,
        "stepsExecuted": [1, 2, 3],
        "stepsCompensated": [],
        "error": None,
    }
    assert story.saga.wake_at is None


@pytest.mark.parametrize("after_ms", [5_500, 12_000, 20_000])
def test_a_refusal_during_a_backoff_undoes_the_saga_at_once_R7(after_ms: int) -> None:
    story, create = at_step_3()
    story.wait(after_ms)

    create.fail(ERROR)

    assert story.sent[-1].command_type == "refundPayment"
    assert story.saga.error == ERROR


def test_a_success_after_27_seconds_is_logged_once_and_the_order_is_still_cancelled_R11() -> None:
    story, create = at_step_3()
    story.wait(27_000)
    for attempt in (2, 3, 4):
        story.expect_command("orders", CreateOrder, attempt=attempt)
    cancel = story.expect_command("orders", CancelOrder)
    logged, before = len(story.log), story.record

    create.succeed(CREATED)
    create.succeed(CREATED)

    assert [(row.step, row.status.value) for row in story.log[logged:]] == [("create_order", "LATE_SUCCESS")]
    assert story.record == before
    story.expect_no_command()
    cancel.succeed()
    undo_steps_2_and_1(story)
    assert (story.record.stepsExecuted, story.record.stepsCompensated) == ([1, 2, 3], [3, 2, 1])
    assert story.record.error == "no reply within 5 s"


def test_a_late_reply_finds_nothing_after_the_saga_has_ended_R11() -> None:
    story, create = at_step_3()
    create.fail(ERROR)
    undo_steps_2_and_1(story)
    ended = story.saga

    for outcome in Outcome:
        story.apply(Replied("create_order", Phase.FORWARD, 1, outcome))

    assert story.saga == ended
