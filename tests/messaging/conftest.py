"""Helpers of the messaging tests. Contract tests take `broker`: the run's broker, and the embedded one too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import pytest

from kafka_saga.messaging import waiting
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.embedded import embedded_broker
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.messaging.topics import TopicSpec, create_topics
from tests.brokers import BrokerUnderTest

PATIENCE_S = 60


@pytest.fixture(scope="session")
def embedded() -> Iterator[BrokerUnderTest]:
    with embedded_broker() as broker:
        yield BrokerUnderTest("embedded", broker.bootstrap_servers)


@pytest.fixture(params=["run", "embedded"])
def broker(request: pytest.FixtureRequest) -> BrokerUnderTest:
    if request.param == "embedded":
        chosen: BrokerUnderTest = request.getfixturevalue("embedded")
        return chosen
    chosen = request.getfixturevalue("kafka")
    if not chosen.is_real:
        pytest.skip("the run's broker is the embedded one, which the other half of this test uses")
    return chosen


@pytest.fixture
async def stoppable(kafka: BrokerUnderTest) -> AsyncIterator[BrokerUnderTest]:
    """The run's broker, where a test may pause, kill and start it; running again at the end.

    Calls that were abandoned meanwhile must then end by themselves: nothing of ours may hang for good.
    """
    process = kafka.process
    if process is None:
        pytest.skip(f"needs a broker that a test can stop; this run's is: {kafka.kind}")
    yield kafka
    process.resume()
    if not process.running():
        process.start()
    if waiting._abandoned:
        _, hanging = await asyncio.wait(set(waiting._abandoned), timeout=PATIENCE_S)
        assert not hanging


@pytest.fixture
async def producer(broker: BrokerUnderTest) -> AsyncIterator[Producer]:
    producer = Producer(broker.settings)
    yield producer
    await producer.stop()


@pytest.fixture
async def real_producer(kafka: BrokerUnderTest) -> AsyncIterator[Producer]:
    producer = Producer(kafka.settings)
    yield producer
    await producer.stop()


Read = Callable[..., Awaitable[Consumer]]


@pytest.fixture
async def reading() -> AsyncIterator[Read]:
    """Starts consumers, and stops them at the end."""
    started: list[Consumer] = []

    async def start(
        broker: BrokerUnderTest,
        *topics: str,
        positions: Mapping[TopicPartition, int] | None = None,
        group: str = "",
        metadata_age_ms: int = 30_000,
    ) -> Consumer:
        consumer = Consumer(broker.settings, topics, group=group or topics[0], metadata_age_ms=metadata_age_ms)
        started.append(consumer)
        await consumer.start(positions or {})
        return consumer

    yield start
    for consumer in started:
        await consumer.stop()


async def make_topic(broker: BrokerUnderTest, name: str, partitions: int = 4, **config: str) -> str:
    settings = {key.replace("_", "."): value for key, value in config.items()}
    (report,) = await create_topics(broker.settings, [TopicSpec(name, partitions, settings)])
    assert report.outcome == "created", report
    return name


async def read(consumer: Consumer, count: int) -> list[Record]:
    """Exactly `count` records: poll until they are there, then once more to see that no more come."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(records) < count:
            records += await consumer.poll(1_000, 2_000)
        records += await consumer.poll(100, 2_000)
    assert len(records) == count, [(record.topic, record.partition, record.offset) for record in records[:20]]
    return records


async def poll_until(consumer: Consumer, done: Callable[[], object]) -> list[Record]:
    """Poll until `done()`; what was read meanwhile."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            records += await consumer.poll(200, 2_000)
    return records


async def first_read(consumer: Consumer, records_max: int) -> list[Record]:
    """What comes first, at most `records_max` records."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            records = await consumer.poll(200, records_max)
            if records:
                return records


def messages(topic: str, count: int, *, key: bytes | None = b"order-1", size: int = 0) -> list[Message]:
    """`count` messages whose values are their numbers, padded to `size` bytes."""
    return [Message(topic, key, b"%d" % number + b" " * size) for number in range(count)]


def numbers(records: list[Record]) -> list[int]:
    return [int(record.value or b"-1") for record in records]
