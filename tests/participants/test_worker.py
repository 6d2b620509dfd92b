from __future__ import annotations

import asyncio

from pydantic import BaseModel

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.dead_letters import CAUSE, ERROR_HEADERS, STAGE
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.records import Message
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.envelope import REPLY_TO, TYPE, Effect, Outcome, Reason, command_headers, read_headers
from tests.participants.fakes import COMMANDS, REPLIES
from tests.participants.shop import Do, Undo
from tests.participants.worker_world import P0, P1, World


async def test_commands_in_replies_out(world: World) -> None:
    await world.start()
    await world.send(Do(), "order-1")
    await world.send(Do(mode="reject"), "order-2", partition=1)
    await world.replied(2)
    await world.send(Undo(), "order-1")
    await world.send(Undo(), "order-3")
    await world.replied(4)
    replies = {str(head.command): (head, message) for head, message in world.broker.replies()}
    head, message = replies["order/order-1/pay/forward/1"]
    assert (head.outcome, head.attempt, head.message_id) == (Outcome.SUCCESS, 1, "order/order-1/pay/forward/1/r1")
    assert (message.key, decode_object(message.value)) == (b"order-1", {"text": "well"})
    assert read_headers(message.headers)[TYPE] == b"done"
    head, message = replies["order/order-2/pay/forward/1"]
    assert (head.outcome, head.reason) == (Outcome.FAILURE, Reason.REJECTED)
    assert read_headers(message.headers)[TYPE] == b"do.failure"
    assert decode_object(message.value) == {"error": "Database connection failed"}
    assert replies["order/order-1/pay/compensate/1"][0].effect is Effect.DONE
    assert replies["order/order-3/pay/compensate/1"][0].effect is Effect.NONE
    assert await world.stored_after_stop() == {P0: 3, P1: 1}
    assert world.consumer.hints == {P0: 3, P1: 1}
    assert world.consumer.hint_metadata == world.store.store_id


async def test_after_a_crash_before_the_replies_went_out_they_are_sent_and_nothing_runs_again(world: World) -> None:
    """The log is the outbox: the offset had not moved, so the commands come again and meet the fence."""
    await world.start(gate=asyncio.Event())
    for number in range(5):
        await world.send(Do(), f"order-{number}")
    await world.broker.signals.until(lambda: world.producer.attempts > 0)
    assert len(await world.effects()) == 5
    assert world.broker.published == []
    await world.kill()

    await world.start()
    assert await world.stored() == {}
    await world.replied(5)
    assert world.broker.outcomes() == [(f"order-{number}", Outcome.SUCCESS) for number in range(5)]
    assert len(await world.effects()) == 5


async def test_offsets_never_pass_commands_whose_replies_are_not_published(world: World) -> None:
    world.records_max = 1
    gate = asyncio.Event()
    await world.start(gate=gate)
    for number in range(4):
        await world.send(Do(), f"order-{number}")
    await world.broker.signals.until(lambda: world.producer.attempts > 0)
    assert await world.stored() == {}
    gate.set()
    await world.replied(4)
    assert await world.stored_after_stop() == {P0: 4}


async def test_a_broker_that_is_away_stops_the_intake_and_gets_the_same_replies_later(world: World) -> None:
    world.records_max = 1
    world.clock.gate = asyncio.Event()
    await world.start()
    world.producer.failures = [BrokerUnavailableError("away")] * 8
    for number in range(20):
        await world.send(Do(), f"order-{number}")
    await world.broker.signals.until(lambda: world.producer.attempts > 0)
    # One to three batches are being published, two wait, one was handled: nothing more is read.
    await world.broker.signals.until(lambda: world.consumer.positions[P0] >= 4)
    assert world.task is not None
    await asyncio.wait({world.task}, timeout=0.1)
    assert world.consumer.positions[P0] <= 6
    world.clock.gate.set()
    await world.broker.signals.until(lambda: len(dict(world.broker.outcomes())) == 20)
    assert dict(world.broker.outcomes()) == {f"order-{number}": Outcome.SUCCESS for number in range(20)}
    assert world.clock.slept[:8] == [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
    assert len(await world.effects()) == 20


async def test_a_reply_that_the_broker_refuses_is_given_up_and_the_rest_goes_out(world: World) -> None:
    await world.start()
    world.producer.refused_key = b"order-1"
    await world.send(Do(), "order-1")
    await world.send(Do(), "order-2")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-2", Outcome.SUCCESS)]
    assert await world.stored_after_stop() == {P0: 2}


async def test_a_reply_topic_that_is_missing_is_waited_for_and_no_offset_passes_it(world: World) -> None:
    """R56: what was not acknowledged never counts as published."""
    await world.start()
    world.producer.failures = [PublishRefusedError(REPLIES, "unknown_topic", "no such topic", [_message()])]
    await world.send(Do(), "order-1")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-1", Outcome.SUCCESS)]
    assert await world.stored_after_stop() == {P0: 1}


def _message() -> Message:
    return Message(REPLIES, None, None)


async def test_poison_becomes_dead_letters_and_blocks_nothing(world: World) -> None:
    """R12, R13."""
    await world.start()
    good = command_headers(
        "order/order-1/pay/forward/1",
        command_type="do",
        source="/order",
        reply_to=REPLIES,
        attempt=1,
        started_at_ms=0,
    )
    without = [(name, value) for name, value in good if name != REPLY_TO]
    elsewhere = [(name, b"bank.replies" if name == REPLY_TO else value) for name, value in good]
    await world.broker.send(b"order-1", b"{}", without)
    await world.broker.send(b"order-1", b"{}", elsewhere)
    await world.broker.send(b"order-2", b"{}", good)
    await world.broker.send(b"order-1", b"{}", [*good[:3], (TYPE, b"undo"), *good[4:]])
    await world.broker.send(b"\xff", None, [("x", None)])
    await world.send(Do(), "order-9")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-9", Outcome.SUCCESS)]
    letters = world.broker.dead_letters()
    assert {letter.topic for letter in letters} == {f"dlq.{COMMANDS}"}
    assert [read_headers(letter.headers)[CAUSE].decode() for letter in letters] == [
        Cause.MISSING_HEADER,
        Cause.BAD_REPLY_TOPIC,
        Cause.BAD_HEADER,
        Cause.BAD_HEADER,
        Cause.MISSING_HEADER,
    ]
    assert letters[1].value == b"{}"
    assert tuple(header for header in letters[1].headers if header[0] not in ERROR_HEADERS) == tuple(elsewhere)
    assert await world.stored_after_stop() == {P0: 6}


async def test_a_bad_body_is_a_dead_letter_and_an_answer_at_once(world: World) -> None:
    """R12."""
    await world.start()
    await world.send(Do(), "order-1")
    record = world.broker.logs[P0][0]
    await world.replied(1)
    headers = [(name, value.replace(b"order-1", b"order-2") if value else value) for name, value in record.headers]
    await world.broker.send(b"order-2", b"{not json", headers)
    await world.replied(2)
    head, _ = world.broker.replies()[1]
    assert (head.outcome, head.reason) == (Outcome.FAILURE, Reason.UNREADABLE)
    [letter] = world.broker.dead_letters()
    assert read_headers(letter.headers)[STAGE] == b"validate"
    assert read_headers(letter.headers)[CAUSE] == Cause.BAD_JSON.encode()


async def test_an_unknown_type_is_answered_with_retry(world: World) -> None:
    class Later(BaseModel):
        pass

    await world.start()
    await world.send(Later(), "order-1")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-1", Outcome.RETRY)]
    assert world.broker.dead_letters() == []


async def test_offsets_are_written_soon_when_nothing_more_comes(world: World) -> None:
    await world.start()
    await world.send(Do(), "order-1")
    await world.replied(1)
    assert await world.stored() == {}
    await world.idle()
    assert await world.stored() == {P0: 1}


async def test_a_topic_that_lost_its_end_is_read_from_its_start_and_nothing_runs_again(world: World) -> None:
    """R23: the store's offset is beyond the topic's end."""
    await world.start()
    for number in range(3):
        await world.send(Do(), f"order-{number}")
    await world.replied(3)
    assert await world.stored_after_stop() == {P0: 3}
    world.broker.logs[P0].pop()
    await world.start()
    world.consumer.positions[P0] = 0
    world.consumer.resets = [Reset(P0, 3, 0, "beyond_end")]
    await world.replied(5)
    assert len(await world.effects()) == 3
    assert await world.stored_after_stop() == {P0: 2}
