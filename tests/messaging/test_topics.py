from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from kafka_saga.messaging import topics
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicDescription, TopicReport, TopicSpec, create_topics, describe, list_topics
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest

pytestmark = pytest.mark.kafka


@pytest.mark.real_kafka
async def test_each_topic_is_reported_and_an_existing_one_is_left_alone(
    kafka: BrokerUnderTest, topic_prefix: str
) -> None:
    one, two = topic_prefix + "one", topic_prefix + "two"
    first = await create_topics(kafka.settings, [TopicSpec(one, 3, {"retention.ms": "60000"})])
    assert first == [TopicReport(one, "created", 3)]

    second = await create_topics(kafka.settings, [TopicSpec(one, 3), TopicSpec(two, 2), TopicSpec("not valid!", 1)])
    assert [(report.name, report.outcome) for report in second] == [
        (one, "exists"),
        (two, "created"),
        ("not valid!", "refused"),
    ]
    assert "invalid" in second[2].detail

    (third,) = await create_topics(kafka.settings, [TopicSpec(one, 12)])
    assert (third.outcome, third.partitions) == ("differs", 3)
    assert "3 partitions, not 12" in third.detail
    assert await describe(kafka.settings, [one, two, topic_prefix + "missing"]) == [
        TopicDescription(one, 3, {"retention.ms": "60000"}),
        TopicDescription(two, 2, {}),
    ]
    assert (await list_topics(kafka.settings)).items() >= {one: 3, two: 2}.items()


async def test_the_embedded_broker_says_what_it_cannot_do(embedded: BrokerUnderTest, topic_prefix: str) -> None:
    name = topic_prefix + "one"
    spec = TopicSpec(name, 12, {"retention.ms": "60000"})
    (created,) = await create_topics(embedded.settings, [spec])
    (existing,) = await create_topics(embedded.settings, [spec])
    assert (created.outcome, existing.outcome) == ("created", "exists")
    for report in (created, existing):
        assert report.partitions == 4
        assert "not available on the embedded broker" in report.detail
    assert await describe(embedded.settings, [name]) == [TopicDescription(name, 4, None)]
    assert (await list_topics(embedded.settings))[name] == 4


@pytest.mark.real_kafka
async def test_a_created_topic_is_waited_for_where_the_broker_is_slow(
    kafka: BrokerUnderTest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hurried(SystemClock):
        """Half a second passes with every pause."""

        passed_ms = 0

        def monotonic_ms(self) -> int:
            return super().monotonic_ms() + self.passed_ms

        async def sleep(self, duration_ms: int) -> None:
            self.passed_ms += 500
            await super().sleep(duration_ms // 10)

    clock, asked = Hurried(), 0
    real = Cluster._metadata

    async def slow(self: Cluster, names: Sequence[str] | None, *, create: bool) -> Any:
        nonlocal asked
        asked += 1
        return await real(self, [topic_prefix + "not-yet"] if asked <= 10 else names, create=create)

    monkeypatch.setattr(Cluster, "_metadata", slow)
    monkeypatch.setattr(topics, "Cluster", partial(Cluster, clock=clock))
    name = topic_prefix + "slow"
    assert await create_topics(kafka.settings, [TopicSpec(name, 3)]) == [TopicReport(name, "created", 3)]
    assert asked > 10


async def test_no_broker_is_said_plainly() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1"):
        await list_topics(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
