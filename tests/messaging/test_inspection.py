"""What is asked of Kafka by whoever looks after a system."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kafka_saga.messaging.cluster import Cluster, Committed
from kafka_saga.messaging.inspection import EARLIEST, LATEST, Inspection
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime.clock import SystemClock
from tests.brokers import BrokerUnderTest

pytestmark = pytest.mark.kafka


@pytest.fixture
async def inspection(kafka: BrokerUnderTest) -> AsyncIterator[Inspection]:
    inspection = Inspection(kafka.settings)
    yield inspection
    await inspection.close()


async def published(kafka: BrokerUnderTest, topic: str) -> int:
    """A topic with three records; how many partitions it has."""
    [report] = await create_topics(kafka.settings, [TopicSpec(topic, 2)])
    producer = Producer(kafka.settings)
    try:
        await producer.publish([Message(topic, b"key", b"{}", ()) for _ in range(3)])
    finally:
        await producer.stop()
    return report.partitions


async def test_where_records_begin_and_end_is_asked_for_many_partitions_at_once(
    kafka: BrokerUnderTest, inspection: Inspection, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}some"
    partitions = await published(kafka, topic)
    wanted = {topic: (await inspection.partitions())[topic]}
    assert len(wanted[topic]) == partitions
    assert all(state.leader >= 0 and state.in_sync == state.replicas for state in wanted[topic])
    first, ends = await inspection.offsets(wanted, EARLIEST), await inspection.offsets(wanted, LATEST)
    assert (set(first.values()), sum(ends.values())) == ({0}, 3)


@pytest.mark.real_kafka
async def test_a_partition_without_a_leader_keeps_its_number(
    kafka: BrokerUnderTest, inspection: Inspection, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"{topic_prefix}some"
    await published(kafka, topic)
    asked = Cluster._metadata

    async def with_one_absent(cluster: Cluster, topics: list[str] | None, *, create: bool) -> Any:
        response = await asked(cluster, topics, create=create)
        response.topics = [
            (code, name, internal, [(5, 0, -1, *row[3:]) if row[1] == 0 else row for row in rows])
            for code, name, internal, rows in response.topics
        ]
        return response

    monkeypatch.setattr(Cluster, "_metadata", with_one_absent)
    leaders = [state.leader for state in (await inspection.partitions())[topic]]
    assert leaders[0] == -1
    assert -1 not in leaders[1:]


@pytest.mark.real_kafka
async def test_a_moment_is_looked_up_and_settings_hold_with_their_defaults(
    kafka: BrokerUnderTest, inspection: Inspection, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}some"
    await published(kafka, topic)
    wanted = {topic: (await inspection.partitions())[topic]}
    now = SystemClock().now_ms()
    assert list((await inspection.offsets(wanted, now - 3_600_000)).values()) == [0]
    assert await inspection.offsets(wanted, now + 3_600_000) == {}
    configs = await inspection.effective_configs([topic], ["retention.ms", "cleanup.policy"])
    assert configs is not None
    assert configs[topic]["cleanup.policy"] == "delete"
    assert int(configs[topic]["retention.ms"]) > 0


async def test_commits_of_many_groups_are_asked_for_at_once(
    kafka: BrokerUnderTest, inspection: Inspection, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}some"
    await published(kafka, topic)
    partition, ours = TopicPartition(topic, 0), f"{topic_prefix}ours"
    await inspection.commit(ours, {partition: 2}, "store-1")
    found = await inspection.committed(
        {ours: [partition, TopicPartition(topic, 1)], f"{topic_prefix}none": [partition]}
    )
    assert found == {ours: {partition: Committed(2, "store-1")}, f"{topic_prefix}none": {}}


class AheadClock(SystemClock):
    """An hour off."""

    def now_ms(self) -> int:
        return super().now_ms() + 3_600_000


async def test_a_clock_that_is_an_hour_off_is_measured_and_the_embedded_broker_tells_no_time(
    kafka: BrokerUnderTest,
) -> None:
    inspection = Inspection(kafka.settings, clock=AheadClock())
    try:
        time = await inspection.time()
    finally:
        await inspection.close()
    if kafka.is_real:
        assert time is not None
        assert 3_540_000 < time.skew_ms < 3_660_000, "the broker of a test runs on this machine, or on one that is well"
    else:
        assert time is None
