"""What became of dead letters: Kafka cannot delete one, so a mark beside them says who dealt with it, and how.

Marks lie on a compacted topic, keyed by the letter's position, so that any machine that reaches Kafka knows them and
the newest of a letter counts. A mark also names the letter's contents: a topic that was deleted and made anew has
other letters at the same positions, and they are open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from sys import intern
from typing import Any, Literal, NamedTuple

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicSpec, create_topics, list_topics
from kafka_saga.orchestrator.operations.kafka.reading import open_topics, until_end
from kafka_saga.runtime.errors import ContractError, RefusedError, UsageError
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.codec import decode_object, encode
from kafka_saga.schemas.topics import TopicNames

_log = log("marks")

Verdict = Literal["redriven", "discarded"]
_VERDICTS: dict[str, Verdict] = {"redriven": "redriven", "discarded": "discarded"}


class Position(NamedTuple):
    """Where a dead letter lies. Its text is `dlq.order.requests/0/17`."""

    topic: str
    partition: int
    offset: int

    @property
    def partition_of(self) -> TopicPartition:
        """The partition it is in."""
        return TopicPartition(self.topic, self.partition)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What was done with one dead letter, by whom, why and when (`at` in RFC 3339)."""

    verdict: Verdict
    actor: str
    reason: str
    at: str
    letter: str
    """The letter's fingerprint."""

    def document(self) -> dict[str, Any]:
        """It as one JSON object."""
        return asdict(self)


Marks = Mapping[Position, Mark]


def marks_topic(topics: TopicNames) -> TopicSpec:
    """The topic of marks. One partition: it is read whole, and small."""
    return TopicSpec(topics.handled_dead_letters, 1, {"cleanup.policy": "compact"})


def fingerprint(letter: Record) -> str:
    """Tells a dead letter from another one at the same position; its headers hold when and where it failed."""
    digest = hashlib.sha256()
    for part in (letter.key, letter.value, *(part for name, value in letter.headers for part in (name, value))):
        data = part.encode(errors="backslashreplace") if isinstance(part, str) else part
        digest.update(b"-" if data is None else b"%d:%s" % (len(data), data))
    return digest.hexdigest()[:32]


def parse_position(text: str) -> Position:
    """`dlq.order.requests/0/17` or `dlq.order.requests[0]@17`.

    Raises:
        UsageError: it is neither.

    """
    parts = text.replace("]@", "/").replace("[", "/").rsplit("/", 2)
    if len(parts) == 3 and all(part.isdecimal() and len(part) < 20 for part in parts[1:]):
        return Position(parts[0], int(parts[1]), int(parts[2]))
    raise UsageError(f"'{text}' is no position: write topic/partition/offset, e.g. dlq.order.requests/0/17")


async def read_marks(kafka: KafkaSettings, topics: TopicNames) -> dict[Position, Mark]:
    """The newest mark of every dead letter that has one; none where nobody ever handled one.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    name = topics.handled_dead_letters
    if name not in await list_topics(kafka):
        return {}
    marks: dict[Position, Mark] = {}
    async with open_topics(kafka, [name]) as consumer:
        async for record in until_end(consumer, [name]):
            read = read_mark(record)
            if read is None:
                continue
            position, mark = read
            if mark is None:
                marks.pop(position, None)
            else:
                marks[position] = mark
    return marks


def read_mark(record: Record) -> tuple[Position, Mark | None] | None:
    """The mark that a record sets, or takes back; None where it is none of ours."""
    try:
        position = parse_position((record.key or b"").decode())
        return position, None if record.value is None else _read(record.value)
    except (UsageError, ContractError, UnicodeDecodeError) as error:
        # Somebody else's record: the letter it may mean stays open, which is the safe side.
        _log.warning("mark.unreadable", partition=record.partition, offset=record.offset, error=str(error))
        return None


async def write_marks(producer: Producer, topics: TopicNames, marks: Sequence[tuple[Position, Mark]]) -> None:
    """Store `marks`.

    Raises:
        BrokerUnavailableError, PublishRefusedError: the broker does not take them.

    """
    name = topics.handled_dead_letters
    await producer.publish([Message(name, str(at).encode(), encode(mark.document())) for at, mark in marks])


async def ensure_marks_topic(kafka: KafkaSettings, topics: TopicNames) -> None:
    """Create the topic of marks where it is missing.

    Raises:
        RefusedError: this user may not create it.
        BrokerUnavailableError: no broker answers.

    """
    if topics.handled_dead_letters in await list_topics(kafka):
        return
    (report,) = await create_topics(kafka, [marks_topic(topics)])
    if report.outcome == "refused":
        raise RefusedError(
            f"cannot create {report.name}, which remembers what was handled: {report.detail}; have it created with "
            "1 partition and cleanup.policy=compact (`saga topics create`)"
        )


def _read(value: bytes) -> Mark:
    document = decode_object(value)
    texts = {name: document.get(name) for name in ("actor", "reason", "at", "letter")}
    verdict = _VERDICTS.get(str(document.get("verdict")))
    if verdict is None or not all(isinstance(text, str) for text in texts.values()):
        raise ContractError("bad_schema", "a mark has a verdict (redriven or discarded), actor, reason, at, letter")
    return Mark(verdict, **{name: intern(str(text)) for name, text in texts.items()})  # one run's marks say the same
