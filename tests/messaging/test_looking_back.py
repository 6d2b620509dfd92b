"""Where to begin reading again: of every partition that exists, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from kafka_saga.messaging.looking_back import BEGINNING, offsets_since
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.survey import LATEST, Extent, Survey
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest


async def a_topic(kafka: BrokerUnderTest, name: str, *values: bytes) -> None:
    await create_topics(kafka.settings, [TopicSpec(name, 4)])
    producer = Producer(kafka.settings)
    try:
        await producer.publish([Message(name, b"k", value, ()) for value in values])
    finally:
        await producer.stop()


async def test_each_partition_of_each_topic_that_exists_has_a_place(kafka: BrokerUnderTest, topic_prefix: str) -> None:
    told, empty = f"{topic_prefix}told", f"{topic_prefix}empty"
    await a_topic(kafka, told, *[b"1"] * 5)
    await a_topic(kafka, empty)
    clock = SystemClock()
    ends = await offsets_since(kafka.settings, [told, empty], LATEST, clock=clock, records_max=0)
    firsts = await offsets_since(kafka.settings, [told, empty, f"{topic_prefix}none"], BEGINNING, clock=clock)
    near = await offsets_since(kafka.settings, [told], BEGINNING, clock=clock, records_max=2 * 4)
    assert ends.keys() == firsts.keys()
    assert {tp.topic for tp in ends} == {told, empty}
    assert (sum(ends.values()), sum(firsts.values()), max(ends.values()) - max(near.values())) == (5, 0, 2)


async def test_who_does_not_answer_yet_is_asked_again(
    kafka: BrokerUnderTest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the partitions of a topic that was just made: its letters went unread for as long as the client lived."""
    topic = f"{topic_prefix}told"
    await a_topic(kafka, topic)
    silent = [f"{topic}[0]: NotLeaderForPartitionError (error 6)", f"{topic}[1] has no leader"]
    asked = Survey.extents

    async def late(survey: Survey, leaders: Mapping[TopicPartition, int]) -> dict[TopicPartition, Extent]:
        if silent:
            raise BrokerUnavailableError(silent.pop())
        return await asked(survey, leaders)

    monkeypatch.setattr(Survey, "extents", late)
    assert {tp.topic for tp in await offsets_since(kafka.settings, [topic], LATEST, clock=SystemClock())} == {topic}
    assert not silent


@pytest.mark.real_kafka
async def test_what_is_told_while_one_asks_is_not_passed_over(
    kafka: BrokerUnderTest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search had found nothing yet, and the end was behind it: who waited for it waited in vain."""
    topic = f"{topic_prefix}told"
    await a_topic(kafka, topic)
    clock = SystemClock()
    search, ends = Survey.offsets_at, Survey.extents
    searching = asyncio.Lock()

    async def search_and_tell(
        survey: Survey, leaders: Mapping[TopicPartition, int], at_ms: int
    ) -> dict[TopicPartition, int]:
        async with searching:
            found = await search(survey, leaders, at_ms)
            await a_topic(kafka, topic, b"told meanwhile")
            return found

    async def ends_after(survey: Survey, leaders: Mapping[TopicPartition, int]) -> dict[TopicPartition, Extent]:
        await clock.sleep(0)  # a search that was asked for together with the ends begins
        async with searching:
            return await ends(survey, leaders)

    monkeypatch.setattr(Survey, "offsets_at", search_and_tell)
    monkeypatch.setattr(Survey, "extents", ends_after)
    assert set((await offsets_since(kafka.settings, [topic], clock.now_ms() - 60_000, clock=clock)).values()) == {0}
