from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.records import Message
from kafka_saga.participants.progress import Progress
from kafka_saga.participants.publisher import Outgoing, Publisher
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import EFFECT, OUTCOME, REASON


class HeldProducer:
    """A producer that a test can hold up."""

    def __init__(self) -> None:
        self.may_publish = asyncio.Event()
        self.asked = asyncio.Event()
        self.published: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        self.asked.set()
        await self.may_publish.wait()
        self.published += messages


async def test_late_replies_that_are_forgotten_while_they_wait_for_their_turn_do_not_hold_up_the_end() -> None:
    producer = HeldProducer()
    publisher = Publisher(producer, Progress({}), clock=SystemClock(), on_published=lambda: None)
    publishing = asyncio.create_task(publisher.run())
    for number in range(8):  # more than may wait
        publisher.put_late(Outgoing([Message("t", None, b"%d" % number)]), 0)
    await producer.asked.wait()
    for _ in range(20):  # until all of them wait: for the producer, in the queue, or before it
        await asyncio.sleep(0)  # noqa: TID251 -- lets the others run, no time passes
    publisher.cancel_late()
    producer.may_publish.set()
    assert await publisher.drain(5_000)
    assert 0 < len(producer.published) < 8
    publishing.cancel()
    await asyncio.wait({publishing})


class LimitedProducer:
    """A producer whose broker takes only small messages."""

    def __init__(self) -> None:
        self.published: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        large = [message for message in messages if len(message.value or b"") > 5_000]
        if large:
            raise PublishRefusedError(large[0].topic, "too_large", "larger than max.message.bytes", large)
        self.published += messages


async def test_a_dead_letter_that_is_refused_is_kept_as_its_first_bytes_and_a_reply_becomes_a_dead_letter() -> None:
    producer = LimitedProducer()
    publisher = Publisher(producer, Progress({}), clock=SystemClock(), on_published=lambda: None)
    publishing = asyncio.create_task(publisher.run())
    letter = Message("dlq.payment.commands", b"k", b"x" * 9_000)
    reply = Message("payment.replies", b"k", b"y" * 9_000, ((OUTCOME, b"success"), (EFFECT, b"done")))
    await publisher.put(Outgoing([letter, reply, Message("payment.replies", b"k", b"{}")]))
    assert await publisher.drain(5_000)
    assert [(message.topic, message.value) for message in producer.published] == [
        ("dlq.payment.commands", b"x" * 1_024),
        ("dlq.payment.replies", b"y" * 1_024),
        ("payment.replies", b'{"error":"it was done, and its reply cannot be sent: larger than max.message.bytes"}'),
        ("payment.replies", b"{}"),
    ]
    assert producer.published[-2].headers == ((OUTCOME, b"retry"),), "what was done is no failure: nobody would undo it"
    publishing.cancel()
    await asyncio.wait({publishing})


@pytest.mark.parametrize("outcome", ["failure", "retry"])
async def test_why_a_command_failed_is_told_in_fewer_words_where_its_topic_does_not_take_all(outcome: str) -> None:
    producer = LimitedProducer()
    publisher = Publisher(producer, Progress({}), clock=SystemClock(), on_published=lambda: None)
    publishing = asyncio.create_task(publisher.run())
    headers = ((OUTCOME, outcome.encode()), (REASON, b"rejected"))
    await publisher.put(Outgoing([Message("payment.replies", b"k", encode({"error": "é" * 2_999}), headers)]))
    assert await publisher.drain(5_000)
    [_, told] = producer.published
    assert told == Message("payment.replies", b"k", encode({"error": "é" * 200}), headers)
    publishing.cancel()
    await asyncio.wait({publishing})


class UselessProducer(LimitedProducer):
    """A producer whose broker takes no replies, however small."""

    async def publish(self, messages: Sequence[Message]) -> None:
        replies = [message for message in messages if message.topic == "payment.replies"]
        if replies:
            raise PublishRefusedError("payment.replies", "too_large", "larger than max.message.bytes", replies)
        await super().publish(messages)


async def test_a_reply_that_is_not_even_taken_in_few_words_ends_as_a_dead_letter() -> None:
    producer = UselessProducer()
    publisher = Publisher(producer, Progress({}), clock=SystemClock(), on_published=lambda: None)
    publishing = asyncio.create_task(publisher.run())
    await publisher.put(Outgoing([Message("payment.replies", b"k", b"y" * 3_000, ((OUTCOME, b"success"),))]))
    assert await publisher.drain(5_000)
    assert {message.topic for message in producer.published} == {"dlq.payment.replies"}
    publishing.cancel()
    await asyncio.wait({publishing})
