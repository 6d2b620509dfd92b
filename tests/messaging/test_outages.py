"""The broker goes away, comes back, hangs, or says nothing: nobody may hang with it, nothing may get lost."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import ProducerClosed

from kafka_saga.messaging import consumer as consumer_module
from kafka_saga.messaging import waiting
from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import PATIENCE_S, Read, make_topic, messages, numbers, poll_until, read

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_reading_goes_on_after_the_broker_was_away(
    stoppable: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str, how: str
) -> None:
    process = stoppable.process
    assert process is not None
    topic = await make_topic(stoppable, topic_prefix + "orders")
    consumer = await reading(stoppable, topic)
    await real_producer.publish(messages(topic, 5))
    assert numbers(await read(consumer, 5)) == list(range(5))

    away = process.kill if how == "kill" else process.stop
    await asyncio.to_thread(away)
    assert await consumer.poll(200, 100) == []
    await asyncio.to_thread(process.start)

    await real_producer.publish(messages(topic, 5))
    assert numbers(await read(consumer, 5)) == list(range(5))
    assert consumer.take_resets() == ()


async def test_reading_goes_on_after_the_broker_hung(
    stoppable: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    assert stoppable.process is not None
    topic = await make_topic(stoppable, topic_prefix + "orders")
    consumer = await reading(stoppable, topic)
    await real_producer.publish(messages(topic, 1))
    await read(consumer, 1)

    stoppable.process.pause()
    assert await consumer.poll(300, 100) == []
    stoppable.process.resume()
    await real_producer.publish(messages(topic, 3))
    assert numbers(await read(consumer, 3)) == [0, 1, 2]


async def test_a_consumer_that_went_silent_is_replaced_at_its_positions(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "SILENCE_MS_MAX", 1_500)
    topic, paused = [await make_topic(kafka, topic_prefix + name) for name in ("orders", "paused")]
    consumer = await reading(kafka, topic, paused)
    consumer.pause([paused])
    await real_producer.publish(messages(topic, 5) + messages(paused, 5))
    await read(consumer, 5)

    stuck = consumer._consumer
    stuck._fetcher._fetch_task.cancel()  # what #1154 looks like from outside: no error, no records
    assert await consumer.poll(300, 100) == []  # the fetch that was under way has been answered
    await real_producer.publish(messages(topic, 3))
    assert numbers(await read(consumer, 3)) == [0, 1, 2]
    assert consumer._consumer is not stuck
    consumer.resume([paused])
    await read(consumer, 5)


async def test_a_broker_that_hangs_holds_up_neither_questions_nor_stopping(
    stoppable: BrokerUnderTest, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stoppable.process is not None
    topic = await make_topic(stoppable, topic_prefix + "orders")
    consumer = await reading(stoppable, topic)
    producer = Producer(stoppable.settings)
    await producer.publish(messages(topic, 1))
    partition = TopicPartition(topic, 0)
    for limit in ("REQUEST_TIMEOUT_MS", "STOP_TIMEOUT_MS", "PUBLISH_TIMEOUT_MS"):
        monkeypatch.setattr(limits, limit, 300)

    stoppable.process.pause()
    with pytest.raises(BrokerUnavailableError, match="end offsets"):
        await consumer.end_offsets([topic])
    for offset in range(100):
        consumer.commit_hint({partition: offset}, "store-1")
    with pytest.raises(BrokerUnavailableError):
        await producer.publish(messages(topic, 1))
    async with asyncio.timeout(60):
        await consumer.stop()
        await producer.stop()


async def test_who_looks_a_topic_up_while_the_broker_hangs_looks_no_longer_than_it_is_waited_for(
    stoppable: BrokerUnderTest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stoppable.process is not None
    topic = await make_topic(stoppable, topic_prefix + "orders")
    producer = Producer(stoppable.settings)
    await producer.start()
    monkeypatch.setattr(limits, "PUBLISH_TIMEOUT_MS", 300)
    stoppable.process.pause()
    with pytest.raises(BrokerUnavailableError):
        await producer.publish(messages(topic, 1))
    [looking] = [task for task in waiting._abandoned if "_fill_and_send" in repr(task)]
    stoppable.process.resume()
    await asyncio.wait({looking}, timeout=PATIENCE_S)
    assert isinstance(looking.exception(), ProducerClosed)
    monkeypatch.undo()
    await producer.publish(messages(topic, 1))
    await producer.stop()


async def test_a_topic_that_is_created_anew_is_reported_and_read_from_its_start(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "orders", 1)
    consumer = await reading(kafka, topic)
    await real_producer.publish(messages(topic, 5))
    await read(consumer, 5)

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([topic])
    while topic in await admin.list_topics():
        await consumer.poll(50, 10)
    await admin.close()
    await make_topic(kafka, topic, 1)
    fresh = Producer(kafka.settings)
    await fresh.publish(messages(topic, 2))
    await fresh.stop()

    resets: list[Reset] = []
    records = await poll_until(consumer, lambda: resets.extend(consumer.take_resets()) or resets)
    assert resets == [Reset(TopicPartition(topic, 0), 5, 0, "beyond_end")]
    assert numbers(records + await read(consumer, 2 - len(records))) == [0, 1]
