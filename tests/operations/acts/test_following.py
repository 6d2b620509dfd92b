"""What became of an act, read from the saga's log: the cases that need no engine."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.decision import Decision
from kafka_saga.orchestrator.machine.events import Act, Replied
from kafka_saga.orchestrator.machine.saga import Hold, service_scope
from kafka_saga.orchestrator.machine.states import EventKind, LogStatus
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.operations.acts.following import Result, Standing, follow
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.testing import Story
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import ChargePayment, RefundPayment, ReleaseItems, ReserveItems
from tests.machine.worlds import RESERVED, Do, Undo, order_story, plain_saga, story_of

INVENTORY = service_scope("inventory")


def row(story: Story, act: Act) -> ActRow:
    return ActRow(
        act.act_id, story.saga.ref, act.verb.value, act.arguments, act.actor, act.reason, None, None, 0, "done", "", 0
    )


def parked() -> Story:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment).fail("no")
    story.expect_command("inventory", ReleaseItems).fail("locked")
    return story


def test_a_retry_whose_command_a_pause_withholds_stands_still() -> None:
    story, act = parked(), Act("act-1", EventKind.RETRY_NOW, "ann", "told to")
    paused = {INVENTORY: Hold(INVENTORY, "bob", "stocktaking", story.now)}
    result = advance(story.definition, story.saga, act, story.now, paused)
    assert isinstance(result, Decision)
    assert result.saga.held is not None

    standing = follow(row(story, act), result.saga, [*story.log, *result.log])

    assert (standing.result, standing.stalled) == (Result.WAITING, True)
    assert "service inventory is paused: the command goes out when that ends" in standing.message


def test_a_retry_whose_step_is_cancelled_before_its_reply_has_not_worked() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).retry("busy")
    act = Act("act-1", EventKind.RETRY_NOW, "ann", "told to")
    story.apply(act)
    story.cancel()

    standing = follow(row(story, act), story.saga, story.log)

    assert standing.result is Result.FAILED
    assert "ops acted before the reply came (cancel)" in standing.message


def retried_with_two_attempts() -> tuple[Story, Act]:
    """A parked saga whose compensation may be tried twice, retried by hand; its first attempt then fails."""
    story = story_of(plain_saga)
    story.expect_command("service-one", Do).succeed()
    story.expect_command("service-two", Do).fail("no")
    story.expect_command("service-one", Undo).fail("locked")
    act = Act("act-1", EventKind.RETRY_NOW, "ann", "told to")
    story.apply(act)
    story.expect_command("service-one", Undo).retry("busy")
    return story, act


def test_a_retry_whose_attempt_fails_waits_while_the_step_is_tried_again_by_itself() -> None:
    story, act = retried_with_two_attempts()
    standing = follow(row(story, act), story.saga, story.log)
    assert standing == Standing(Result.WAITING, "'one' failed, and is tried again by itself: busy")

    story.wait(1_000)
    story.expect_command("service-one", Undo).succeed()
    assert follow(row(story, act), story.saga, story.log) == Standing(Result.SUCCEEDED, "'one' is undone")


def test_a_retry_has_failed_when_the_last_attempt_has() -> None:
    story, act = retried_with_two_attempts()
    story.wait(1_000)
    story.expect_command("service-one", Undo).retry("still busy")

    standing = follow(row(story, act), story.saga, story.log)
    assert standing == Standing(Result.FAILED, "'one' failed again: still busy")


def test_a_retry_of_a_command_that_still_cannot_be_built_has_failed_with_its_reason() -> None:
    story = story_of(plain_saga, poison=["do two"])
    story.expect_command("service-one", Do).succeed()
    act = Act("act-1", EventKind.RETRY_NOW, "ann", "told to")
    story.apply(act)

    standing = follow(row(story, act), story.saga, story.log)

    assert standing.result is Result.FAILED
    assert "'two' failed again: Do cannot be filled: ValueError: do two is poisoned" in standing.message


def test_a_late_success_of_the_action_is_no_answer_to_its_compensation() -> None:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment)
    story.cancel()
    story.expect_command("payment", RefundPayment).fail("locked")
    act = Act("act-1", EventKind.RETRY_NOW, "ann", "told to")
    story.apply(act)
    story.apply(Replied("process_payment", Phase.FORWARD, 1, Outcome.SUCCESS, body={"charge_id": "c-1"}))
    assert story.log[-1].status is LogStatus.LATE_SUCCESS

    assert follow(row(story, act), story.saga, story.log).result is Result.WAITING
    story.expect_command("payment", RefundPayment).succeed()
    assert follow(row(story, act), story.saga, story.log).message == "'process_payment' is undone"


def test_an_act_on_a_saga_that_was_purged_since_is_told_by_its_row() -> None:
    act = Act("act-1", EventKind.RETRY_NOW, "ann", "told to")

    assert follow(row(parked(), act), None, ()).result is Result.SUCCEEDED
