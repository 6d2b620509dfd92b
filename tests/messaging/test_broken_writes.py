"""A connection breaks in the very turn of the loop in which something is written to it: uvloop's RuntimeError (R21)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pytest
import uvloop

from kafka_saga.messaging.broken_writes import is_refused_write
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.waiting import within
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import PATIENCE_S, make_topic, messages, numbers, poll_until, read
from tests.messaging.test_group_consumer import CLOCK, STORE, Member, until

pytestmark = pytest.mark.kafka

PRODUCE, FETCH, LIST_OFFSETS, METADATA, COMMIT, COMMITTED, COORDINATOR = 0, 1, 2, 3, 8, 9, 10
JOIN, HEARTBEAT, LEAVE, SYNC, VERSIONS, PRODUCER_ID = 11, 12, 13, 14, 18, 22
"""Kafka's numbers of requests."""


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run `test` on the loop of our processes: asyncio's own does not raise."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if "breaking" in fixtures:
                fixtures["breaking"].closed = runner.run(closed_transport())
            runner.run(test(**fixtures))

    return run


@dataclass
class Breaking:
    """Breaks connections while something is written to them."""

    closed: asyncio.WriteTransport | None = None
    """uvloop's own, of a connection that is gone: to those that break one is written from then on."""

    kinds: list[int] = field(default_factory=list)
    """Whose next requests break theirs, one each."""

    raised: list[BaseException] = field(default_factory=list)

    def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        kind = int.from_bytes(data[4:6], "big")
        if kind in self.kinds:
            self.kinds.remove(kind)
            writer.transport.abort()
            writer._transport = self.closed  # type: ignore[attr-defined]
        try:
            writer.transport.write(data)
        except RuntimeError as error:
            self.raised.append(error)
            raise


async def closed_transport() -> asyncio.WriteTransport:
    """A connection of which nothing is left."""
    here, there = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=here)
    there.close()
    writer.transport.abort()
    await writer.wait_closed()
    return writer.transport


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaking]:
    breaking = Breaking()

    def write(writer: asyncio.StreamWriter, data: bytes) -> None:
        breaking.write(writer, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", write)
    yield breaking
    assert breaking.raised, "no write was refused"
    assert all(map(is_refused_write, breaking.raised)), breaking.raised


async def broken(breaking: Breaking, *kinds: int) -> None:
    """Wait until the next request of each of `kinds` has met a connection that breaks."""
    breaking.kinds += kinds
    async with asyncio.timeout(PATIENCE_S):
        while breaking.kinds:
            await CLOCK.sleep(10)


@asynccontextmanager
async def open_producer(broker: BrokerUnderTest) -> AsyncIterator[Producer]:
    producer = Producer(broker.settings)
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def open_consumer(broker: BrokerUnderTest, topic: str) -> AsyncIterator[Consumer]:
    consumer = Consumer(broker.settings, [topic], group=topic)
    try:
        await consumer.start({})
        yield consumer
    finally:
        await consumer.stop()


def routines_of(client: Any, *more: asyncio.Task[Any]) -> list[asyncio.Task[Any]]:
    """What aiokafka runs in the background: it starts none of them again."""
    return [client._sync_task, *more]


@on_uvloop
async def test_a_consumer_reads_on_by_the_same_routines(
    broker: BrokerUnderTest, breaking: Breaking, topic_prefix: str
) -> None:
    topic = await make_topic(broker, f"{topic_prefix}read")
    async with open_consumer(broker, topic) as consumer, open_producer(broker) as producer:
        inner = consumer._consumer
        assert inner is not None
        routines = routines_of(inner._client, inner._fetcher._fetch_task)
        for kinds in ([FETCH], [FETCH, METADATA], [FETCH, VERSIONS]):
            breaking.kinds += kinds
            await poll_until(consumer, lambda: not breaking.kinds)
        breaking.kinds.append(LIST_OFFSETS)
        ends = await consumer.end_offsets([topic])

        await producer.publish(messages(topic, 7))

        assert set(ends.values()) == {0}
        assert numbers(await read(consumer, 7)) == list(range(7))
        assert not any(routine.done() for routine in routines)
        assert consumer._consumer is inner, "it was not replaced"


@on_uvloop
async def test_a_producer_stores_each_message_once_by_the_same_routines(
    broker: BrokerUnderTest, breaking: Breaking, topic_prefix: str
) -> None:
    topic = await make_topic(broker, f"{topic_prefix}written", partitions=1)
    async with open_producer(broker) as producer:
        breaking.kinds.append(PRODUCER_ID)
        await producer.start()
        inner = producer._producer
        assert inner is not None
        routines = routines_of(inner.client, inner._sender.sender_task)
        for kinds in ([PRODUCE], [PRODUCE, METADATA], [PRODUCE, VERSIONS]):
            breaking.kinds += kinds
            await producer.publish(messages(topic, 3))
            async with asyncio.timeout(PATIENCE_S):
                while breaking.kinds:
                    await inner.client.force_metadata_update()
        assert not any(routine.done() for routine in routines)
        assert producer._producer is inner, "it was not replaced"

    async with open_consumer(broker, topic) as consumer:
        assert numbers(await read(consumer, 9)) == [0, 1, 2] * 3


@pytest.mark.real_kafka
@on_uvloop
async def test_a_member_of_a_group_stays_one_by_the_same_routines(
    kafka: BrokerUnderTest, breaking: Breaking, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_MS", 200)
    topic = await make_topic(kafka, f"{topic_prefix}shared")
    member = Member(kafka, [topic], "one", {})
    breaking.kinds += [JOIN, SYNC]
    await member.start()
    try:
        await until(lambda: len(member.held) == 4)
        inner = member.consumer._consumer
        assert inner is not None
        routines = routines_of(inner._client, inner._fetcher._fetch_task, inner._coordinator._coordination_task)
        assert not breaking.kinds
        await broken(breaking, HEARTBEAT)
        await broken(breaking, HEARTBEAT, COORDINATOR)
        breaking.kinds.append(COMMIT)
        await member.consumer.commit({TopicPartition(topic, 0): 0}, STORE.store_id)
        assert not breaking.kinds
        async with open_producer(kafka) as producer:
            await producer.publish(messages(topic, 7))
        await until(lambda: len(member.seen) == 7)
        assert not any(routine.done() for routine in routines)
        assert member.consumer._consumer is inner, "it was not replaced"
        breaking.kinds.append(LEAVE)
        await member.leave()
        await member.rejoin()
        await until(lambda: len(member.held) == 4 or member.failure)
        assert member.failure is None
    finally:
        await member.stop()


@pytest.mark.real_kafka
@pytest.mark.parametrize("kind", [METADATA, COORDINATOR, COMMIT, COMMITTED])
@on_uvloop
async def test_a_question_fails_as_when_nobody_answers_and_the_next_one_is_answered(
    kafka: BrokerUnderTest, breaking: Breaking, topic_prefix: str, kind: int
) -> None:
    topic = await make_topic(kafka, f"{topic_prefix}asked", partitions=1)
    partition = TopicPartition(topic, 0)
    cluster = Cluster(kafka.settings)

    async def ask() -> None:
        assert await cluster.partition_counts([topic]) == {topic: 1}
        await cluster.commit(topic, {partition: 0}, "")
        assert set(await cluster.committed_by(topic, [partition])) == {partition}

    try:
        await ask()
        breaking.kinds.append(kind)
        with pytest.raises(BrokerUnavailableError, match=r"broken: .*the handler is closed"):
            await ask()
        await ask()
    finally:
        await cluster.close()


@on_uvloop
async def test_who_waits_for_an_answer_hears_of_a_refused_write_as_of_any_broken_connection(
    breaking: Breaking,
) -> None:
    async def write() -> None:
        assert breaking.closed is not None
        try:
            breaking.closed.write(b"anything")
        except RuntimeError as error:
            breaking.raised.append(error)
            raise

    with pytest.raises(BrokerUnavailableError, match="asking: the connection was closed"):
        await within(1_000, "asking", write())


@on_uvloop
async def test_an_error_of_our_own_is_not_taken_for_a_broken_connection() -> None:
    async def work() -> None:
        raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(RuntimeError, match="dictionary changed"):
        await within(1_000, "asking", work())
