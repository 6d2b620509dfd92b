from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition as KafkaPartition
from confluent_kafka import Producer as LibrdkafkaProducer

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.errors import UnknownTopicError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.unreadable import UnreadableRecord
from kafka_saga.runtime.errors import ConfigError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import Read, make_topic, messages, numbers, poll_until, read

pytestmark = pytest.mark.kafka


async def test_without_positions_it_starts_at_the_earliest_record(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    one, two = [await make_topic(broker, topic_prefix + name) for name in ("one", "two")]
    await producer.publish(messages(one, 3) + messages(two, 2))
    records = await read(await reading(broker, one, two), 5)
    assert {record.topic: record.offset for record in records} == {one: 2, two: 1}


async def test_it_goes_on_exactly_where_the_positions_say(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish(messages(topic, 10))
    partition = TopicPartition(topic, (await read(await reading(broker, topic), 10))[0].partition)

    consumer = await reading(broker, topic, positions={partition: 7})
    assert numbers(await read(consumer, 3)) == [7, 8, 9]
    assert consumer.take_resets() == ()
    await read(await reading(broker, topic, positions={partition: 10}), 0)


async def test_a_position_beyond_the_end_is_reported_and_read_from_the_start(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish(messages(topic, 3))
    partition = TopicPartition(topic, (await read(await reading(broker, topic), 3))[0].partition)

    consumer = await reading(broker, topic, positions={partition: 4})
    assert consumer.take_resets() == (Reset(partition, 4, 0, "beyond_end"),)
    assert consumer.take_resets() == ()
    assert numbers(await read(consumer, 3)) == [0, 1, 2]


async def test_a_position_that_is_lost_while_reading_is_reported_too(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish(messages(topic, 3))
    consumer = await reading(broker, topic)
    partition = TopicPartition(topic, (await read(consumer, 3))[0].partition)
    consumer.seek(partition, 1_000)

    resets: list[Reset] = []
    again = await poll_until(consumer, lambda: resets.extend(consumer.take_resets()) or resets)
    assert resets == [Reset(partition, 1_000, 0, "beyond_end")]
    assert numbers(again + await read(consumer, 3 - len(again))) == [0, 1, 2]


@pytest.mark.real_kafka
async def test_records_that_retention_removed_unread_are_reported(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "orders", 1)
    await real_producer.publish(messages(topic, 5))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_records({KafkaPartition(topic, 0): RecordsToDelete(before_offset=3)})
    await admin.close()

    partition = TopicPartition(topic, 0)
    consumer = await reading(kafka, topic, positions={partition: 1})
    assert consumer.take_resets() == (Reset(partition, 1, 3, "deleted"),)
    assert numbers(await read(consumer, 2)) == [3, 4]


async def test_seek_drops_what_was_fetched_and_reads_again(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish(messages(topic, 100))
    consumer = await reading(broker, topic)
    first: list[int] = []
    while not first:
        records = await consumer.poll(1_000, 10)
        first = numbers(records)
    consumer.seek(TopicPartition(topic, records[0].partition), 5)
    assert first == list(range(10))
    assert numbers(await read(consumer, 95)) == list(range(5, 100))


async def test_a_poll_returns_no_more_than_it_was_asked_for(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish([Message(topic, b"%d" % number, b"%d" % number) for number in range(100)])
    consumer = await reading(broker, topic)
    seen: list[int] = []
    while len(seen) < 100:
        records = await consumer.poll(1_000, 7)
        assert len(records) <= 7
        seen += numbers(records)
    assert sorted(seen) == list(range(100))


async def test_a_paused_topic_keeps_its_records_and_the_others_go_on(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    requests, replies = [await make_topic(broker, topic_prefix + name) for name in ("requests", "replies")]
    consumer = await reading(broker, requests, replies)
    consumer.pause([requests])
    assert consumer.paused == {requests}
    await producer.publish(messages(requests, 3) + messages(replies, 2))
    assert {record.topic for record in await read(consumer, 2)} == {replies}

    consumer.resume([requests])
    assert consumer.paused == frozenset()
    assert {record.topic for record in await read(consumer, 3)} == {requests}


async def test_a_cancelled_poll_loses_nothing(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    consumer = await reading(broker, topic)
    for number in range(20):
        waiting = asyncio.ensure_future(consumer.poll(60_000, 10))
        await producer.publish([Message(topic, b"k", b"%d" % number)])
        waiting.cancel()
        await asyncio.wait({waiting})
        got = [] if waiting.cancelled() else numbers(waiting.result())
        assert got + numbers(await read(consumer, 1 - len(got))) == [number]


async def test_stopping_ends_a_poll_in_progress(broker: BrokerUnderTest, reading: Read, topic_prefix: str) -> None:
    consumer = await reading(broker, await make_topic(broker, topic_prefix + "orders"))
    waiting = asyncio.ensure_future(consumer.poll(600_000, 10))
    await consumer.poll(50, 10)
    await consumer.stop()
    assert await waiting == []
    assert await consumer.poll(600_000, 10) == []


@pytest.mark.real_kafka
async def test_missing_topics_are_all_named_with_the_remedy(
    kafka: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    there = await make_topic(kafka, topic_prefix + "there")
    with pytest.raises(UnknownTopicError, match=r"saga topics create") as caught:
        await reading(kafka, there, topic_prefix + "b", topic_prefix + "a")
    assert caught.value.topics == (topic_prefix + "a", topic_prefix + "b")


async def test_on_the_embedded_broker_missing_topics_appear(
    embedded: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    consumer = await reading(embedded, topic_prefix + "new")
    assert consumer.partitions == {TopicPartition(topic_prefix + "new", number) for number in range(4)}


@pytest.mark.real_kafka
async def test_added_partitions_are_read_without_losing_positions_or_pauses(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic, paused = [await make_topic(kafka, topic_prefix + name, 2) for name in ("orders", "paused")]
    consumer = await reading(kafka, topic, paused, metadata_age_ms=100)
    await real_producer.publish([Message(topic, b"%d" % number, b"%d" % number) for number in range(20)])
    await read(consumer, 20)
    consumer.pause([paused])

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(total_count=5)})
    await admin.close()
    assert await poll_until(consumer, lambda: len(consumer.partitions) == 7) == []

    other = Producer(kafka.settings)  # a new one: it sees the new partitions
    await other.publish(messages(paused, 1))
    await other.publish([Message(topic, b"%d" % number, b"%d" % number) for number in range(40)])
    await other.stop()
    records = await read(consumer, 40)
    assert {record.partition for record in records} == {0, 1, 2, 3, 4}


async def test_positions_reach_the_end_offsets_when_everything_was_read(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    one, two = [await make_topic(broker, topic_prefix + name) for name in ("one", "two")]
    consumer = await reading(broker, one, two)
    await producer.publish([Message(one, b"%d" % number, b"%d" % number) for number in range(20)])
    ends = await consumer.end_offsets([one])
    assert {partition.topic for partition in ends} == {one}
    assert sum(ends.values()) == 20
    assert await consumer.positions([one]) != ends
    await read(consumer, 20)
    assert await consumer.positions([one]) == ends


@pytest.mark.real_kafka
async def test_aborted_transactions_are_not_read_and_their_marks_do_not_hide_the_end(
    kafka: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "replies", 1)
    foreign = LibrdkafkaProducer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    await asyncio.to_thread(foreign.init_transactions)
    for value, end in ((b"0", foreign.commit_transaction), (b"99", foreign.abort_transaction)):
        foreign.begin_transaction()
        foreign.produce(topic, value)
        await asyncio.to_thread(foreign.flush)
        await asyncio.to_thread(end)

    consumer = await reading(kafka, topic)
    assert numbers(await read(consumer, 1)) == [0]
    assert await consumer.positions([topic]) == await consumer.end_offsets([topic]) == {TopicPartition(topic, 0): 4}


class NotText(str):
    """A header name that goes out as bytes that are not UTF-8, as only a hostile or broken client sends it."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"\xff\xfe"


async def publish_raw(
    broker: BrokerUnderTest, topic: str, partition: int, headers: list[list[tuple[str, bytes]]]
) -> None:
    """One batch of records without key, one for each of `headers`, as aiokafka's slow builder makes it."""
    builder = BatchBuilder(100_000, 0)
    builder._builder = _DefaultRecordBatchBuilderPy(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=100_000
    )
    for own in headers:
        builder.append(timestamp=None, key=None, value=b"1", headers=own)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
        await (await producer.send_batch(builder, topic, partition=partition))


@pytest.mark.real_kafka
async def test_a_record_that_cannot_be_parsed_is_stepped_over_and_handed_on_empty(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "orders", 3)
    good, bad = [("name", b"x")], [(NotText("name"), b"x")]
    await publish_raw(kafka, topic, 1, [good, good, bad, good])  # the last one shares the fate of its batch
    await publish_raw(kafka, topic, 1, [good, good])
    await publish_raw(kafka, topic, 2, [bad])
    await real_producer.publish(messages(topic, 40, key=None))

    records = await read(await reading(kafka, topic), 47)
    unreadable = [record for record in records if isinstance(record, UnreadableRecord)]
    assert {(record.partition, record.offset) for record in unreadable} == {(1, 2), (1, 3), (2, 0)}
    assert all("utf-8" in record.error and record.value is None for record in unreadable)
    for partition in range(3):
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(len(offsets)))


@pytest.mark.real_kafka
async def test_compression_that_cannot_be_read_here_says_what_to_install(
    kafka: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    try:
        import cramjam  # noqa: F401, PLC0415
    except ImportError:
        topic = await make_topic(kafka, topic_prefix + "orders", 1)
        foreign = LibrdkafkaProducer({"bootstrap.servers": kafka.bootstrap_servers, "compression.type": "lz4"})
        foreign.produce(topic, b"x" * 10_000)
        assert foreign.flush(30) == 0
        consumer = await reading(kafka, topic)
        with pytest.raises(ConfigError, match="cramjam"):
            await poll_until(consumer, lambda: False)
    else:
        pytest.skip("cramjam is installed: every compression can be read")
