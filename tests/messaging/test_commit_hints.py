from __future__ import annotations

import pytest
from confluent_kafka import Consumer as LibrdkafkaConsumer
from confluent_kafka import TopicPartition as LibrdkafkaPartition

from kafka_saga.messaging.records import TopicPartition
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import Read, make_topic

pytestmark = pytest.mark.kafka


def committed(broker: BrokerUnderTest, group: str, partition: TopicPartition) -> int:
    other = LibrdkafkaConsumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group})
    (found,) = other.committed([LibrdkafkaPartition(*partition)], timeout=30)
    other.close()
    return int(found.offset)


async def test_lag_tools_see_the_latest_hint_once_the_consumer_has_stopped(
    broker: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    group = topic_prefix + "group"
    consumer = await reading(broker, topic, group=group)
    one, two = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer.commit_hint({one: 1, two: 7}, "store-1")
    for offset in range(2, 50):
        consumer.commit_hint({one: offset}, "store-1")
    await consumer.stop()

    assert committed(broker, group, one) == 49
    assert committed(broker, group, two) == 7


async def test_another_store_of_the_same_group_is_recognised_before_it_reads(
    broker: BrokerUnderTest, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    group = topic_prefix + "group"
    first = await reading(broker, topic, group=group)
    assert await first.committed_metadata() == set()
    first.commit_hint({TopicPartition(topic, 0): 1}, "store-1")
    first.commit_hint({}, "store-1")
    await first.stop()

    second = await reading(broker, topic, group=group)
    assert await second.committed_metadata() == {"store-1"}
    assert await (await reading(broker, topic, group=group + "2")).committed_metadata() == set()


async def test_a_hint_does_not_move_the_consumer(broker: BrokerUnderTest, reading: Read, topic_prefix: str) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    consumer = await reading(broker, topic, group=topic_prefix + "group")
    consumer.commit_hint({TopicPartition(topic, 0): 0}, "store-1")
    before = await consumer.positions([topic])
    await consumer.poll(50, 10)
    assert await consumer.positions([topic]) == before
