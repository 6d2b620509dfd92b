"""The end that R21 asks for is the brokers' own: of every partition that exists now, readable or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from confluent_kafka import Producer as LibrdkafkaProducer
from structlog.testing import capture_logs

from kafka_saga.messaging import stuck, widening
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.survey import Extent, Survey
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import Read, make_topic, numbers, poll_until, read

pytestmark = pytest.mark.kafka

NEVER_MS = 3_600_000
"""Long enough that nothing is found by looking from time to time."""


@pytest.fixture
async def admin(kafka: BrokerUnderTest) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    yield admin
    await admin.close()


async def begin_foreign(kafka: BrokerUnderTest, topic: str, value: bytes) -> LibrdkafkaProducer:
    """A producer of somebody else's, whose transaction on `topic` is open and holds a record."""
    foreign = LibrdkafkaProducer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    await asyncio.to_thread(foreign.init_transactions)
    foreign.begin_transaction()
    foreign.produce(topic, value, partition=0)
    await asyncio.to_thread(foreign.flush)
    return foreign


@pytest.mark.real_kafka
async def test_the_end_of_a_partition_that_was_added_just_now_is_told_and_its_records_come(
    kafka: BrokerUnderTest, admin: AIOKafkaAdminClient, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "replies", 1)
    consumer = await reading(kafka, topic, metadata_age_ms=NEVER_MS)
    await admin.create_partitions({topic: NewPartitions(total_count=3)})
    other = Producer(kafka.settings)
    await other.publish([Message(topic, b"%d" % number, b"%d" % number) for number in range(20)])
    await other.stop()

    extents = await consumer.extents([topic])
    assert len(extents) == 3
    assert sum(extent.end for extent in extents.values()) == 20
    assert extents.keys() != (await consumer.positions([topic])).keys()

    assert len(await read(consumer, 20)) == 20
    assert await consumer.positions([topic]) == {tp: extent.end for tp, extent in extents.items()}


@pytest.mark.real_kafka
async def test_added_partitions_are_found_without_being_asked_for(
    kafka: BrokerUnderTest, admin: AIOKafkaAdminClient, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "commands", 1)
    consumer = await reading(kafka, topic, metadata_age_ms=100)
    await admin.create_partitions({topic: NewPartitions(total_count=2)})
    await poll_until(consumer, lambda: len(consumer.partitions) == 2)


@pytest.mark.real_kafka
@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
async def test_an_open_transaction_is_part_of_the_topic_and_keeps_what_follows_from_being_read(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str, end: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "replies", 1)
    partition = TopicPartition(topic, 0)
    consumer = await reading(kafka, topic)
    foreign = await begin_foreign(kafka, topic, b"0")
    await real_producer.publish([Message(topic, b"k", b"1")])

    assert await consumer.poll(500, 10) == []
    assert await consumer.extents([topic]) == {partition: Extent(0, 2)}
    assert await consumer.end_offsets([topic]) == {partition: 0}
    assert await consumer.positions([topic]) == {partition: 0}

    await asyncio.to_thread(getattr(foreign, end))
    assert numbers(await read(consumer, 2 if end == "commit_transaction" else 1))[-1] == 1
    assert await consumer.extents([topic]) == {partition: Extent(3, 3)}
    assert await consumer.positions([topic]) == {partition: 3}


@pytest.mark.real_kafka
async def test_an_aborted_transaction_at_the_end_is_passed_over(
    kafka: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "replies", 1)
    consumer = await reading(kafka, topic)
    foreign = await begin_foreign(kafka, topic, b"0")
    await asyncio.to_thread(foreign.abort_transaction)
    assert await read(consumer, 0) == []
    assert await consumer.extents([topic]) == {TopicPartition(topic, 0): Extent(2, 2)}
    assert await consumer.positions([topic]) == {TopicPartition(topic, 0): 2}


@pytest.mark.real_kafka
async def test_a_partition_that_an_open_transaction_holds_back_is_named_and_so_is_its_end(
    kafka: BrokerUnderTest, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "STUCK_MS", 1)
    topic = await make_topic(kafka, topic_prefix + "commands", 1)
    consumer = await reading(kafka, topic)
    with capture_logs() as logs:
        foreign = await begin_foreign(kafka, topic, b"0")
        await poll_until(consumer, lambda: events(logs, "consumer.partition_stuck"))
        await asyncio.to_thread(foreign.commit_transaction)
        await poll_until(consumer, lambda: events(logs, "consumer.partition_goes_on"))
    told = events(logs, "consumer.partition_stuck")[0]
    assert (told["partition"], told["position"], told["end"]) == (f"{topic}[0]", 0, 1)
    assert told["why"] == stuck.OPEN_TRANSACTION


def events(logs: list[Any], event: str) -> list[Any]:
    return [entry for entry in logs if entry["event"] == event]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_MS", 1_000)


@pytest.mark.real_kafka
@pytest.mark.usefixtures("impatient")
async def test_a_topic_that_was_deleted_has_no_end_that_could_be_reached(
    kafka: BrokerUnderTest, admin: AIOKafkaAdminClient, reading: Read, topic_prefix: str
) -> None:
    one, two = [await make_topic(kafka, topic_prefix + name, 1) for name in ("one", "two")]
    consumer = await reading(kafka, one, two)
    await admin.delete_topics([one])
    with pytest.raises(BrokerUnavailableError, match=rf"do not know topic {one}"):
        await consumer.extents([one, two])
    assert await consumer.extents([two]) == {TopicPartition(two, 0): Extent(0, 0)}


@pytest.mark.real_kafka
@pytest.mark.usefixtures("impatient")
async def test_a_topic_made_anew_with_fewer_partitions_is_believed_after_a_while(
    kafka: BrokerUnderTest,
    admin: AIOKafkaAdminClient,
    reading: Read,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = await make_topic(kafka, topic_prefix + "replies", 2)
    consumer = await reading(kafka, topic)
    await admin.delete_topics([topic])
    await make_anew(kafka, topic)
    with pytest.raises(BrokerUnavailableError, match=r"do not know .*replies\[1\] any more"):
        await consumer.extents([topic])

    monkeypatch.setattr(widening, "GONE_MS", 0)
    assert await consumer.extents([topic]) == {TopicPartition(topic, 0): Extent(0, 0)}
    await poll_until(consumer, lambda: consumer.partitions == {TopicPartition(topic, 0)})


async def make_anew(kafka: BrokerUnderTest, topic: str) -> None:
    """Deleting takes a moment, in which the name is taken."""
    async with asyncio.timeout(30):
        while True:
            try:
                await make_topic(kafka, topic, 1)
            except AssertionError:
                continue
            return


@pytest.mark.usefixtures("impatient")
async def test_a_partition_without_a_leader_fails_the_question_and_is_named(
    broker: BrokerUnderTest, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(broker, topic_prefix + "replies", 2)
    consumer = await reading(broker, topic)
    leaders = Survey.leaders
    leaderless: set[TopicPartition] = {TopicPartition(topic, 1)}

    async def some_absent(survey: Survey, topics: Any) -> dict[TopicPartition, int]:
        return {tp: -1 if tp in leaderless else at for tp, at in (await leaders(survey, topics)).items()}

    monkeypatch.setattr(Survey, "leaders", some_absent)
    with pytest.raises(BrokerUnavailableError, match=r"replies\[1\] has no leader"):
        await consumer.extents([topic])
    leaderless.clear()
    assert len(await consumer.extents([topic])) >= 2


async def test_a_leader_that_moves_meanwhile_is_asked_for_again(
    broker: BrokerUnderTest, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(broker, topic_prefix + "replies", 2)
    consumer = await reading(broker, topic)
    leaders, absent = Survey.leaders, [TopicPartition(topic, 0)]

    async def once_absent(survey: Survey, topics: Any) -> dict[TopicPartition, int]:
        found = await leaders(survey, topics)
        return found | dict.fromkeys([absent.pop()] if absent else [], -1)

    monkeypatch.setattr(Survey, "leaders", once_absent)
    extents = await consumer.extents([topic])
    assert {tp: extent.end for tp, extent in extents.items()} == await consumer.end_offsets([topic])
    assert absent == []


async def test_a_consumer_that_was_built_anew_has_not_read_what_the_old_one_had_only_fetched(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "replies", 1)
    consumer = await reading(broker, topic)
    await producer.publish([Message(topic, b"k", b"%d" % number) for number in range(5)])
    assert len(await consumer.poll(10_000, 2)) == 2
    before = await consumer.positions([topic])
    await consumer._rebuild()
    assert await consumer.positions([topic]) == before
    assert sum(extent.end for extent in (await consumer.extents([topic])).values()) == 5
    assert numbers(await read(consumer, 3)) == [2, 3, 4]


async def test_a_paused_topic_is_not_read_to_its_end(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "replies", 1)
    consumer = await reading(broker, topic)
    consumer.pause([topic])
    await producer.publish([Message(topic, b"k", b"1")])
    assert await consumer.poll(200, 10) == []
    positions = await consumer.positions([topic])
    ends = await consumer.extents([topic])
    assert any(positions[tp] < extent.end for tp, extent in ends.items())
