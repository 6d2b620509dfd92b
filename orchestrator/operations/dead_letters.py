"""Dead letters: what was set aside, and why. Kafka holds them; nothing of them is in the store."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from messaging import dead_letters
from messaging.records import Record, TopicPartition
from messaging.settings import KafkaSettings
from messaging.topics import list_topics
from orchestrator.operations.messages import describe, text_of
from orchestrator.operations.reading import check_answering, open_topics, until_end
from runtime.errors import NotFoundError, UsageError
from schemas.topics import TopicNames, dead_letter_topic

By = Literal["topic", "cause", "saga"]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are wanted; what is None may be anything."""

    topic: str | None = None
    cause: str | None = None
    saga_id: str | None = None

    def lets(self, letter: dict[str, Any]) -> bool:
        """Whether it is wanted."""
        return (
            (self.topic is None or self.topic in {letter["topic"], letter["from"]})
            and (self.cause is None or self.cause == letter["cause"])
            and (self.saga_id is None or self.saga_id in {letter["sagaId"], letter["key"]})
        )


@dataclass(slots=True)
class DeadLetters:
    """The newest dead letters that were wanted, and how many there are in all."""

    newest: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0


async def dead_letter_topics(kafka: KafkaSettings, topics: TopicNames) -> list[str]:
    """Every dead letter topic with our prefix that exists, also of services that no definition here names.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    there = await list_topics(kafka)
    return sorted(name for name in there if name.startswith(dead_letter_topic(topics.prefix)))


async def read_dead_letters(
    kafka: KafkaSettings, topics: TopicNames, wanted: DeadLetterFilter, limit: int
) -> DeadLetters:
    """The newest `limit` dead letters that the filter lets through, newest first."""
    found = DeadLetters()
    newest: list[tuple[str, int, dict[str, Any]]] = []
    async for record in _all(await dead_letter_topics(kafka, topics), kafka):
        letter = summary(record)
        if wanted.lets(letter):
            found.total += 1
            entry = (letter["at"], found.total, letter)  # the number settles ties
            (heapq.heappush if len(newest) < limit else heapq.heappushpop)(newest, entry)
    found.newest = [letter for _at, _number, letter in sorted(newest, reverse=True)]
    return found


async def count_dead_letters(
    kafka: KafkaSettings, topics: TopicNames, wanted: DeadLetterFilter, by: By
) -> list[tuple[str, int]]:
    """How many there are of each topic, cause or saga; the most first."""
    name = {"topic": "topic", "cause": "cause", "saga": "sagaId"}[by]
    counts: Counter[str] = Counter()
    async for record in _all(await dead_letter_topics(kafka, topics), kafka):
        letter = summary(record)
        if wanted.lets(letter):
            counts[letter[name] or "-"] += 1
    return counts.most_common()


async def read_one(kafka: KafkaSettings, position: str) -> dict[str, Any]:
    """The dead letter at `topic/partition/offset`, whole.

    Raises:
        UsageError: that is no position.
        NotFoundError: there is no record at it, or no such topic.

    """
    topic, partition, offset = parse_position(position)
    there = await list_topics(kafka)
    if not 0 <= partition < there.get(topic, 0):
        raise NotFoundError(f"there is no partition {partition} of a topic {topic}; `saga dlq list` shows positions")
    async with open_topics(kafka, [topic], from_end=True) as consumer:
        wanted = TopicPartition(topic, partition)
        end = (await consumer.end_offsets([topic]))[wanted]
        if offset < end:
            consumer.seek(wanted, offset)
        while offset < end and (await consumer.positions([topic]))[wanted] <= offset:
            for record in await consumer.poll(200, 1):
                if (record.partition, record.offset) == (partition, offset):
                    return describe(record)
            check_answering(consumer)
    raise NotFoundError(f"there is no record at {position}: the topic's retention may have removed it")


def parse_position(text: str) -> tuple[str, int, int]:
    """`dlq.order.requests/0/17` or `dlq.order.requests[0]@17`.

    Raises:
        UsageError: it is neither.

    """
    parts = text.replace("]@", "/").replace("[", "/").rsplit("/", 2)
    if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        return parts[0], int(parts[1]), int(parts[2])
    raise UsageError(f"'{text}' is no position: write topic/partition/offset, e.g. dlq.order.requests/0/17")


def summary(record: Record) -> dict[str, Any]:
    """What a list shows of a dead letter."""
    described = describe(record)
    headers: dict[str, str] = described["headers"]
    return {
        "position": f"{record.topic}/{record.partition}/{record.offset}",
        "topic": record.topic,
        "at": described["at"],
        "cause": headers.get(dead_letters.CAUSE),
        "message": headers.get(dead_letters.MESSAGE),
        "stage": headers.get(dead_letters.STAGE),
        "group": headers.get(dead_letters.GROUP),
        "from": headers.get(dead_letters.TOPIC),
        "fromPartition": headers.get(dead_letters.PARTITION),
        "fromOffset": headers.get(dead_letters.OFFSET),
        "key": text_of(record.key),
        "sagaId": described["sagaId"],
    }


async def _all(topics: Sequence[str], kafka: KafkaSettings) -> AsyncIterator[Record]:
    if topics:
        async with open_topics(kafka, topics) as consumer:
            async for record in until_end(consumer, topics):
                yield record
