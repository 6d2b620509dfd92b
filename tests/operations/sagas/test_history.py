"""What a log tells: every message that was sent, to the byte; every attempt; and no less where the code has gone."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.states import TERMINAL, LogStatus
from kafka_saga.orchestrator.operations.sagas.differences import data_differences
from kafka_saga.orchestrator.operations.sagas.folded_time import scaled
from kafka_saga.orchestrator.operations.sagas.history import history
from kafka_saga.orchestrator.operations.sagas.timeline import Ending, busy, timeline
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import Story
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.orders import CancelOrder, ChargePayment, CreateOrder, RefundPayment, ReleaseItems, ReserveItems
from kafka_saga.schemas.topics import TopicNames
from tests.machine.histories import History, histories
from tests.machine.worlds import CHARGED, RESERVED, order_story

TOPICS = TopicNames()


def compensated_order() -> Story:
    """Payment took 20 ms, the order failed twice with a second in between, then all was undone."""
    story = order_story()
    story.now += 30
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.now += 20
    story.expect_command("payment", ChargePayment).succeed(CHARGED)
    for backoff_ms in (1_000, 2_000, 4_000):
        story.now += 10
        story.expect_command("orders", CreateOrder).retry("no connection")
        story.wait(backoff_ms)
    story.now += 10
    story.expect_command("orders", CreateOrder).retry("no connection")
    story.expect_command("orders", CancelOrder).nothing_to_undo()
    story.now += 15
    story.expect_command("payment", RefundPayment).succeed()
    story.now += 25
    story.expect_command("inventory", ReleaseItems).succeed()
    return story


@settings(max_examples=6, deadline=None)
@given(histories())
def test_what_was_sent_comes_out_of_the_log_again_to_the_byte(life: History) -> None:
    told = history(life.definition, life.saga, life.log, TOPICS)
    assert told.gap is None
    commands = [sent for turn in told.turns for sent in turn.sent or () if not sent.is_event]
    assert [(one.message_id, one.attempt, one.body) for one in commands] == [
        (str(sent.command_id), sent.attempt, decode_trusted(sent.body)) for sent in life.sent
    ]
    assert told.turns[-1].after == life.saga
    assert sum(len(turn.rows) for turn in told.turns) == len(life.log)


@settings(max_examples=6, deadline=None)
@given(histories())
def test_without_its_definition_the_log_alone_tells_what_happened(life: History) -> None:
    told = history(None, life.saga, life.log, TOPICS)
    assert told.gap is not None
    assert f"version {life.saga.definition_version}" in told.gap
    rows = [row[:5] for turn in told.turns for row in turn.rows]
    assert rows == [row[:5] for row in life.log], "all but what may be sensitive"
    assert all(turn.sent is None for turn in told.turns)


def test_a_log_that_this_code_decides_otherwise_is_told_as_far_as_it_goes() -> None:
    story = compensated_order()
    strange = LogEntry(99, "process_payment", LogStatus.SUCCESS, 1, story.now, {"event": "Admitted"})
    newer = LogEntry(100, "", LogStatus.ACT, 0, story.now, {"event": "Teleported"})
    told = history(order_saga, story.saga, [*story.log, strange, newer], TOPICS)
    whole = history(order_saga, story.saga, story.log, TOPICS)
    assert told.turns[: len(whole.turns)] == whole.turns
    assert [turn.rows for turn in told.turns[-2:]] == [(strange,), (newer,)]
    assert told.gap is not None
    assert f"From change {len(whole.turns)} on" in told.gap


def test_events_have_the_id_under_which_they_were_published() -> None:
    story = compensated_order()
    told = history(order_saga, story.saga, story.log, TOPICS, first_sequence=5_000_000)
    events = [sent for turn in told.turns for sent in turn.sent or () if sent.is_event]
    assert events[0].message_id == "order/order-123/5000001/started"
    assert events[-1].message_type == "order.saga.compensated"
    assert {event.topic for event in events} == {"order.events"}


def test_a_reply_shows_as_the_fields_that_it_added() -> None:
    told = history(order_saga, (story := compensated_order()).saga, story.log, TOPICS)
    added = [
        (difference.sign, difference.path, difference.value)
        for turn in told.turns
        for difference in data_differences(order_saga, turn.before, turn.after)
    ]
    assert added == [
        ("+", "reserve_inventory.reservation_id", RESERVED.reservation_id),
        ("+", "process_payment.charge_id", CHARGED.charge_id),
    ]


def test_attempts_waits_and_undoing_lie_where_they_happened() -> None:
    story = compensated_order()
    line = timeline(story.saga, story.log, story.now)
    order = [(bar.attempt, bar.ending) for bar in line.bars if bar.step == "create_order" and not bar.back]
    assert order == [
        (1, Ending.AGAIN),
        (1, Ending.BACKOFF),
        (2, Ending.AGAIN),
        (2, Ending.BACKOFF),
        (3, Ending.AGAIN),
        (3, Ending.BACKOFF),
        (4, Ending.FAILED),
    ]
    back = [(bar.step, bar.ending) for bar in line.bars if bar.back]
    assert back == [
        ("create_order", Ending.NOTHING),
        ("process_payment", Ending.UNDONE),
        ("reserve_inventory", Ending.UNDONE),
    ]
    assert line.backoff_ms == sum(line.end_of(bar) - bar.began_at for bar in line.bars if bar.is_wait) > 0
    assert (line.attempts(back=False), line.attempts(back=True)) == (6, 3)


@settings(max_examples=8, deadline=None)
@given(histories(), st.integers(0, 10_000), st.booleans())
def test_every_bar_of_every_life_lies_in_its_order_inside_the_time_line(life: History, later: int, fold: Any) -> None:
    line = timeline(life.saga, life.log, life.now + later)
    scale = scaled(busy(line), line.began_at, line.ended_at, left=10, room=500, fold_width=20, floor=5, fold=bool(fold))
    assert scale.pieces[0].began_at == line.began_at
    assert scale.pieces[-1].left + scale.pieces[-1].width <= 510.001
    for bar in line.bars:
        assert line.began_at <= bar.began_at <= line.end_of(bar) <= line.ended_at
        assert 9.999 <= scale.position(bar.began_at) <= scale.position(line.end_of(bar)) <= 510.001
    if life.saga.state in TERMINAL:
        assert all(bar.ended_at is not None for bar in line.bars)


def test_only_waits_are_folded_and_work_keeps_room() -> None:
    story = compensated_order()
    line = timeline(story.saga, story.log, story.now)
    scale = scaled(busy(line), line.began_at, line.ended_at, left=0, room=1_000, fold_width=50, floor=30)
    assert len(scale.folds) == 3
    for begin, end in busy(line):
        assert not any(fold.began_at < end and begin < fold.ended_at for fold in scale.folds)
    assert scale.folded_ms <= line.backoff_ms
