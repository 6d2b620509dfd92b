"""Dead letters: what was set aside, and why. Kafka holds them; nothing of them is in the store."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from kafka_saga.messaging import dead_letters
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import list_topics
from kafka_saga.orchestrator.operations.dead_letters.marks import (
    Marks,
    Position,
    fingerprint,
    parse_position,
    read_marks,
)
from kafka_saga.orchestrator.operations.kafka.messages import NO_FIELDS, IdFields, describe, text_of
from kafka_saga.orchestrator.operations.kafka.reading import check_answering, open_topics, until_end
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames, dead_letter_topic

By = Literal["topic", "cause", "saga"]

NONE_SAID = "-"
"""The cause, or the saga, of a letter that says none."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are wanted; what is None may be anything.

    Attributes:
        topic: the dead letter topic, or the one that the records came from.
        cause: one of `kafka_saga.schemas.causes`, or a reason for which a broker refused a message.
        saga_id: the saga they are about.
        since, until: when they were set aside, in RFC 3339 as `rfc3339` writes it.
        handled: also those that were sent again or discarded.
        unhandled: those that nobody handled.
        among: the dead letter topics to look at, beside that of `topic`; None: every one with our prefix.
        fields: where requests carry their saga's id: many have no key.

    """

    topic: str | None = None
    cause: str | None = None
    saga_id: str | None = None
    since: str | None = None
    until: str | None = None
    handled: bool = False
    unhandled: bool = True
    among: frozenset[str] | None = None
    fields: IdFields = field(default_factory=lambda: NO_FIELDS)

    def reads(self, name: str) -> bool:
        """Whether what is wanted may lie on the dead letter topic of that name."""
        return self.among is None or name in self.among or self.topic in {name, name.removeprefix(DEAD_LETTER_PREFIX)}

    def lets(self, letter: dict[str, Any]) -> bool:
        """Whether it is wanted."""
        return (
            (self.unhandled if letter["handled"] is None else self.handled)
            and (self.topic is None or self.topic in {letter["topic"], letter["from"]})
            and (self.cause is None or self.cause == (letter["cause"] or NONE_SAID))
            and (self.saga_id is None or self.saga_id in {letter["sagaId"], letter["key"]})
            and (self.since is None or self.since <= letter["at"])
            and (self.until is None or letter["at"] < self.until)
        )


@dataclass(slots=True)
class DeadLetters:
    """The dead letters that were wanted, up to a limit, and how many there are in all."""

    letters: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0


async def dead_letter_topics(kafka: KafkaSettings, topics: TopicNames) -> list[str]:
    """Every dead letter topic with our prefix that exists, also of services that no definition here names.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    there = await list_topics(kafka)
    return sorted(name for name in there if name.startswith(dead_letter_topic(topics.prefix)))


async def read_dead_letters(
    kafka: KafkaSettings, topics: TopicNames, wanted: DeadLetterFilter, limit: int, *, oldest: bool = False
) -> DeadLetters:
    """The newest `limit` dead letters that the filter lets through, newest first; or the `oldest`, oldest first."""
    found = DeadLetters()
    kept: list[tuple[_Rank, dict[str, Any]]] = []
    marks = await read_marks(kafka, topics)
    async for record in _all(kafka, topics, wanted):
        letter = summary(record, marks, wanted.fields)
        if wanted.lets(letter):
            found.total += 1
            entry = (_Rank(letter["at"], found.total, oldest=oldest), letter)  # the number settles ties
            (heapq.heappush if len(kept) < limit else heapq.heappushpop)(kept, entry)
    found.letters = [letter for _rank, letter in sorted(kept, reverse=True)]
    return found


class _Rank:
    """Greater is sooner in the list."""

    __slots__ = ("_key", "_oldest")

    def __init__(self, at: str, number: int, *, oldest: bool) -> None:
        self._key = (at, number)
        self._oldest = oldest

    def __lt__(self, other: _Rank) -> bool:
        return self._key > other._key if self._oldest else self._key < other._key


async def count_dead_letters(
    kafka: KafkaSettings, topics: TopicNames, wanted: DeadLetterFilter, by: By
) -> list[tuple[str, int]]:
    """How many there are of each topic, cause or saga; the most first."""
    counts: Counter[str] = Counter()
    marks = await read_marks(kafka, topics)
    async for record in _all(kafka, topics, wanted):
        letter = summary(record, marks, wanted.fields)
        if wanted.lets(letter):
            counts[said_by(letter, by)] += 1
    return counts.most_common()


def said_by(letter: dict[str, Any], by: By) -> str:
    """The topic, cause or saga of a letter."""
    return letter[{"topic": "topic", "cause": "cause", "saga": "sagaId"}[by]] or NONE_SAID


async def read_one(
    kafka: KafkaSettings, topics: TopicNames, position: str, fields: IdFields = NO_FIELDS
) -> dict[str, Any]:
    """The dead letter at `topic/partition/offset`, whole; `handled` says what became of it, if anything did.

    Raises:
        UsageError: that is no position.
        NotFoundError: there is no record at it, or no such topic.

    """
    record = await record_at(kafka, parse_position(position))
    return {**describe(record, fields), "handled": summary(record, await read_marks(kafka, topics))["handled"]}


async def record_at(kafka: KafkaSettings, position: Position) -> Record:
    """The record at `position`.

    Raises:
        NotFoundError: there is no record at it, or no such topic.

    """
    topic, partition, offset = position
    there = await list_topics(kafka)
    if not 0 <= partition < there.get(topic, 0):
        raise NotFoundError(f"there is no partition {partition} of a topic {topic}; `saga dlq list` shows positions")
    async with open_topics(kafka, [topic], from_end=True) as consumer:
        wanted = position.partition_of
        end = (await consumer.end_offsets([topic]))[wanted]
        if offset < end:
            consumer.seek(wanted, offset)
        while offset < end and (await consumer.positions([topic]))[wanted] <= offset:
            for record in await consumer.poll(200, 1):
                if (record.partition, record.offset) == (partition, offset):
                    return record
            check_answering(consumer)
    raise NotFoundError(f"there is no record at {position}: the topic's retention may have removed it")


def summary(record: Record, marks: Marks, fields: IdFields = NO_FIELDS) -> dict[str, Any]:
    """What a list shows of a dead letter."""
    described = describe(record, fields)
    headers: dict[str, str] = described["headers"]
    position = Position(record.topic, record.partition, record.offset)
    mark = marks.get(position)
    letter = fingerprint(record)
    return {
        "position": str(position),
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
        "replays": dead_letters.replay_count(record.headers),
        "truncated": headers.get(dead_letters.TRUNCATED),
        "letter": letter,
        "handled": None if mark is None or mark.letter != letter else mark.document(),
    }


async def _all(kafka: KafkaSettings, topics: TopicNames, wanted: DeadLetterFilter) -> AsyncIterator[Record]:
    names = [name for name in await dead_letter_topics(kafka, topics) if wanted.reads(name)]
    if names:
        async with open_topics(kafka, names) as consumer:
            async for record in until_end(consumer, names):
                yield record
