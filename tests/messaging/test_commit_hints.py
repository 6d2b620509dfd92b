from __future__ import annotations

from collections.abc import Mapping

import pytest
from confluent_kafka import Consumer as LibrdkafkaConsumer
from confluent_kafka import TopicPartition as LibrdkafkaPartition

from kafka_saga.messaging.claims import Unclaimed
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.hints import CommitHints
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError
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


async def test_a_hint_does_not_move_the_consumer(broker: BrokerUnderTest, reading: Read, topic_prefix: str) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    consumer = await reading(broker, topic, group=topic_prefix + "group")
    consumer.commit_hint({TopicPartition(topic, 0): 0}, "store-1")
    before = await consumer.positions([topic])
    await consumer.poll(50, 10)
    assert await consumer.positions([topic]) == before


class Forgetful(Cluster):
    """Its coordinator is away for the first commit."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        self.refused = 0

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        if not self.refused:
            self.refused += 1
            raise BrokerUnavailableError("its coordinator is moving")
        await super().commit(group, offsets, metadata)


async def test_a_hint_that_failed_is_given_again_although_nothing_more_is_read(
    broker: BrokerUnderTest, topic_prefix: str
) -> None:
    topic, group = await make_topic(broker, topic_prefix + "orders"), topic_prefix + "group"
    cluster = Forgetful(broker.settings)
    hints = CommitHints(cluster, group, SystemClock(), Unclaimed())
    hints.put({TopicPartition(topic, 0): 9}, "store-1")
    while not await cluster.committed_by(group, [TopicPartition(topic, 0)]):
        await SystemClock().sleep(50)
    await hints.stop()
    await cluster.close()
    assert (cluster.refused, committed(broker, group, TopicPartition(topic, 0))) == (1, 9)
