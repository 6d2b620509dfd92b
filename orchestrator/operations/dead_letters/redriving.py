"""Dead letters that are sent again, or put away for good.

First a plan: which letters, and which of them cannot go, decided from what they say. Then it is carried out: letters
are read once more, published to their original topics in small batches, and marked as handled after each batch. What
ends halfway goes on when it is begun again: only letters that were sent but not yet marked are sent twice, and their
receivers take a second copy as a duplicate (R3, R7, R14).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from kafka_saga.messaging.dead_letters import replay_of
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import list_topics
from kafka_saga.orchestrator.operations.dead_letters.letters import (
    DeadLetterFilter,
    read_dead_letters,
    record_at,
    summary,
)
from kafka_saga.orchestrator.operations.dead_letters.marks import (
    Mark,
    Position,
    Verdict,
    ensure_marks_topic,
    fingerprint,
    parse_position,
    read_marks,
    write_marks,
)
from kafka_saga.orchestrator.operations.kafka.reading import POLL_MS, check_answering, open_topics
from kafka_saga.runtime.clock import Clock, rfc3339
from kafka_saga.runtime.errors import BrokerUnavailableError, NotFoundError
from kafka_saga.runtime.limits import (
    BATCH_RECORDS_MAX,
    DEAD_LETTER_REPLAYS_MAX,
    DEAD_LETTER_VALUE_BYTES_MAX,
    ERROR_TEXT_LENGTH_MAX,
    REPLAY_BATCH_BYTES_MAX,
    REPLAY_BATCH_LETTERS_MAX,
)
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames


@dataclass(frozen=True, slots=True)
class Plan:
    """Which dead letters are to be handled, in which order, and which are not, each with the reason.

    `letters` holds their summaries, oldest first; `total` is how many there are of the kind, `letters` being no more
    than were asked for.
    """

    verdict: Verdict
    letters: tuple[dict[str, Any], ...]
    refused: tuple[tuple[dict[str, Any], str], ...]
    total: int

    def counts(self) -> list[dict[str, Any]]:
        """How many would be handled and refused, by topic and cause."""
        chosen = Counter((letter["topic"], letter["cause"] or "-") for letter in self.letters)
        refused = Counter((letter["topic"], letter["cause"] or "-") for letter, _why in self.refused)
        return [
            {"topic": topic, "cause": cause, self.verdict: chosen[topic, cause], "refused": refused[topic, cause]}
            for topic, cause in sorted(chosen.keys() | refused.keys())
        ]


@dataclass(slots=True)
class Progress:
    """How far a plan has been carried out."""

    total: int
    handled: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Position and reason of those that could not be handled; they stay open."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who handles dead letters, and why: both are kept with each."""

    actor: str
    reason: str

    def mark(self, verdict: Verdict, letter: str, at_ms: int) -> Mark:
        """The mark of the letter with this fingerprint."""
        cut = ERROR_TEXT_LENGTH_MAX
        return Mark(verdict, self.actor[:cut], self.reason[:cut], rfc3339(at_ms), letter)


def refusal(letter: Mapping[str, Any], there: Collection[str], *, again: bool, force: bool) -> str | None:
    """Why this dead letter cannot be sent to its original topic; None where it can.

    Args:
        letter: its summary.
        there: the topics that exist.
        again: send it although it was handled before.
        force: send it however often it came back.

    """
    if letter["handled"] is not None and not again:
        handled = letter["handled"]
        return f"it was {handled['verdict']} by {handled['actor']} at {handled['at']}; --again sends it once more"
    origin = str(letter["topic"]).removeprefix(DEAD_LETTER_PREFIX)
    if letter["from"] not in (None, origin):
        return f"its headers say that it came from {letter['from']}, its topic that it came from {origin}"
    if letter["truncated"]:
        return _truncation(str(letter["truncated"]))
    if origin not in there:
        return f"its topic {origin} does not exist any more"
    if letter["replays"] >= DEAD_LETTER_REPLAYS_MAX and not force:
        return (
            f"it came back after {counted(letter['replays'], 'redrive')}: mend what refuses it first "
            f"({letter['message'] or 'no reason given'}), then use --force"
        )
    return None


def _truncation(cut: str) -> str:
    """Why a letter that is not whole cannot be sent, from its header (`value=2000000 headers=30016`)."""
    parts = dict(part.split("=", 1) for part in cut.split() if "=" in part)
    if "record" in parts:
        return "no client could read the record's bytes, so none of them were kept: have its sender send it again"
    if "value" in parts:
        kept = DEAD_LETTER_VALUE_BYTES_MAX // 1024
        return f"only the first bytes (at most {kept} KiB) of a value of {parts['value']} were kept: have it sent again"
    return f"it was cut to fit ({cut}): have its sender send it again"


async def plan_for(
    kafka: KafkaSettings,
    topics: TopicNames,
    verdict: Verdict,
    wanted: DeadLetterFilter | Position,
    limit: int,
    *,
    again: bool = False,
    force: bool = False,
) -> Plan:
    """What to do with one dead letter, or with the oldest `limit` of the open ones that a filter lets through.

    Raises:
        NotFoundError: there is no dead letter at the position.
        BrokerUnavailableError: no broker answers.

    """
    if isinstance(wanted, Position):
        letters, total = [await _one(kafka, topics, wanted)], 1
    else:
        found = await read_dead_letters(kafka, topics, wanted, limit, oldest=True)
        letters, total = found.letters, found.total
    return plan_of(verdict, letters, await list_topics(kafka), total=total, again=again, force=force)


def plan_of(
    verdict: Verdict,
    letters: Sequence[dict[str, Any]],
    there: Collection[str],
    *,
    total: int,
    again: bool = False,
    force: bool = False,
) -> Plan:
    """What to do with letters that were found; `there` are the topics that exist."""
    chosen, refused = [], []
    for letter in letters:
        if verdict == "redriven":
            why = refusal(letter, there, again=again, force=force)
        else:
            why = None if letter["handled"] is None else f"it was {letter['handled']['verdict']} already"
        if why is None:
            chosen.append(letter)
        else:
            refused.append((letter, why))
    return Plan(verdict, tuple(chosen), tuple(refused), total)


async def _one(kafka: KafkaSettings, topics: TopicNames, position: Position) -> dict[str, Any]:
    if not position.topic.startswith(DEAD_LETTER_PREFIX + topics.prefix):
        raise NotFoundError(f"{position.topic} is none of our dead letter topics; `saga dlq topics` lists them")
    return summary(await record_at(kafka, position), await read_marks(kafka, topics))


class _Sender(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Handling:
    """A plan that is carried out: what was handled is remembered, and told."""

    producer: Producer
    topics: TopicNames
    plan: Plan
    author: Author
    clock: Clock
    progress: Progress
    on_progress: Callable[[Progress], None]
    letters: Mapping[Position, str]
    """Their fingerprints by their positions."""

    async def done(self, positions: Sequence[Position]) -> None:
        """The letters at these are handled."""
        now_ms = self.clock.now_ms()
        marks = [(at, self.author.mark(self.plan.verdict, self.letters[at], now_ms)) for at in positions]
        await write_marks(self.producer, self.topics, marks)
        self.progress.handled += len(marks)
        self.on_progress(self.progress)


@asynccontextmanager
async def _handling(
    kafka: KafkaSettings,
    topics: TopicNames,
    plan: Plan,
    *,
    author: Author,
    clock: Clock,
    on_progress: Callable[[Progress], None],
) -> AsyncIterator[_Handling]:
    """A plan to carry out; where it has no letters nobody is asked."""
    letters = {parse_position(letter["position"]): str(letter["letter"]) for letter in plan.letters}
    producer = Producer(kafka, clock=clock)
    try:
        if letters:
            await ensure_marks_topic(kafka, topics)  # nothing is handled that could not be remembered
        yield _Handling(producer, topics, plan, author, clock, Progress(len(letters)), on_progress, letters)
    finally:
        await producer.stop()


async def discard(
    kafka: KafkaSettings,
    topics: TopicNames,
    plan: Plan,
    *,
    author: Author,
    clock: Clock,
    on_progress: Callable[[Progress], None],
) -> Progress:
    """Mark the plan's letters as discarded; they stay on their topics until its retention removes them.

    Raises:
        BrokerUnavailableError, RefusedError: no broker answers, or marks cannot be kept.

    """
    async with _handling(kafka, topics, plan, author=author, clock=clock, on_progress=on_progress) as handling:
        each = list(handling.letters)
        for start in range(0, len(each), BATCH_RECORDS_MAX):
            await handling.done(each[start : start + BATCH_RECORDS_MAX])
    return handling.progress


async def redrive(
    kafka: KafkaSettings,
    topics: TopicNames,
    plan: Plan,
    *,
    author: Author,
    clock: Clock,
    on_progress: Callable[[Progress], None],
) -> Progress:
    """Publish the plan's letters to their original topics, and mark each as redriven.

    Where the broker goes away half way, what is left counts as failed and stays open.

    Raises:
        BrokerUnavailableError: no broker answers, and nothing was sent.
        RefusedError: what was handled cannot be remembered.

    """
    async with _handling(kafka, topics, plan, author=author, clock=clock, on_progress=on_progress) as handling:
        progress, left = handling.progress, dict(handling.letters)
        try:
            async for batch in _batches(kafka, left):
                sent = await send_all(handling.producer, batch, progress)
                await handling.done(sent)
                for at, _record in batch:
                    del left[at]
        except BrokerUnavailableError as error:
            if not progress.handled:
                raise
            progress.failed += [(str(at), str(error)) for at in left]
        else:
            gone = "it is not there any more: the topic's retention may have removed it"
            progress.failed += [(str(at), gone) for at in left]
    return progress


_Batch = list[tuple[Position, Record]]


async def send_all(producer: _Sender, batch: _Batch, progress: Progress) -> list[Position]:
    """Publish a batch; the positions of those that were taken. What the broker refuses is noted as failed.

    Raises:
        BrokerUnavailableError: the broker does not answer; some may have been published.

    """
    messages = [replay_of(record) for _at, record in batch]
    at = {id(message): at for message, (at, _record) in zip(messages, batch, strict=True)}
    left, taken = messages, list[Message]()
    while left:
        try:
            await producer.publish(left)
        except PublishRefusedError as error:
            parted = error.part(left)
            progress.failed += [(str(at[id(message)]), str(error)) for message in parted.refused]
            taken += parted.stored
            left = parted.left
        else:
            taken += left
            break
    return [at[id(message)] for message in taken]


async def _batches(kafka: KafkaSettings, wanted: Mapping[Position, str]) -> AsyncIterator[_Batch]:
    """The letters at the positions of `wanted`, those of one partition in their order, in small batches."""
    if not wanted:
        return
    spans: dict[TopicPartition, tuple[int, int]] = {}
    for at in wanted:
        first, last = spans.get(at.partition_of, (at.offset, at.offset))
        spans[at.partition_of] = min(first, at.offset), max(last, at.offset)
    topics = {tp.topic for tp in spans}
    batch: _Batch = []
    size = 0
    async with open_topics(kafka, topics, from_end=True) as consumer:
        for tp, (first, _last) in spans.items():
            consumer.seek(tp, first)
        letters = dict(wanted)
        while True:
            for record in await consumer.poll(POLL_MS, BATCH_RECORDS_MAX):
                at = Position(record.topic, record.partition, record.offset)
                if letters.pop(at, None) == fingerprint(record):
                    batch.append((at, record))
                    size += len(record.value or b"") + len(record.key or b"")
                if len(batch) >= REPLAY_BATCH_LETTERS_MAX or size >= REPLAY_BATCH_BYTES_MAX:
                    yield batch
                    batch, size = [], 0
            positions = await consumer.positions(topics)
            if not letters or all(positions[tp] > last for tp, (_first, last) in spans.items()):
                break
            check_answering(consumer)
        if batch:
            yield batch
