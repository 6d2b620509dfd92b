"""Dead letters at a glance: the newest first, page by page, however many there are.

Kafka keeps them on many partitions, and finds one by its offset only. So partitions are read backwards from their ends,
a window at a time, and merged by time. What was read of the newest is kept for the next look, and so is what became of
letters: a look that finds nothing new asks where the topics end, and reads nothing. Each reads a bounded number of
records, and says where the next one goes on. Who looks for long at nothing keeps nothing open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.dead_letters.bounds import read_bounds, write_bounds
from kafka_saga.orchestrator.operations.dead_letters.letters import By, DeadLetterFilter, said_by, summary
from kafka_saga.orchestrator.operations.dead_letters.marks import Mark, Position, read_mark
from kafka_saga.orchestrator.operations.dead_letters.tails import Kept, Tail, Walk, rounds
from kafka_saga.orchestrator.operations.dead_letters.windows import Windows
from kafka_saga.orchestrator.operations.kafka.messages import IdFields
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, NotFoundError, UsageError
from kafka_saga.runtime.live_limits import (
    LETTERS_AT_ONCE_MAX,
    LETTERS_KEPT_MAX,
    LETTERS_LOOK_MS_MAX,
    LETTERS_LOOKED_AT_MAX,
    SHELF_AGE_MS_MAX,
    SHELF_IDLE_MS_MAX,
)
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames

_GONE = "the topic's retention may have removed it"

_SHARE_MIN = 20
"""Records of one partition that are worth a request."""


class LettersPage(NamedTuple):
    """Some dead letters.

    Attributes:
        letters: newest first.
        cursor: what to ask for the next page with; None where there is none.
        is_whole: False where the look ended before as many were found as there may be.
        looked_at: how many letters were looked at.

    """

    letters: list[dict[str, Any]]
    cursor: str | None
    is_whole: bool
    looked_at: int


class Standing(NamedTuple):
    """How many dead letters lie there, and how many of them nobody has handled."""

    all: int
    open: int


class Tally(NamedTuple):
    """How many of each kind there are among the newest, the most first; `is_whole` where these are all."""

    counts: list[tuple[str, int]]
    looked_at: int
    is_whole: bool


class Shelf:
    """The dead letters of one cluster, for everybody who looks at them in this process; one look at a time."""

    def __init__(self, kafka: KafkaSettings, topics: TopicNames, fields: IdFields, clock: Clock) -> None:
        self._windows = Windows(kafka, topics, clock)
        self._topics = topics
        self._fields = fields
        self._clock = clock
        self._turn = asyncio.Lock()
        self._seen_at: int | None = None
        self._looked_at = 0
        self._marks: dict[TopicPartition, dict[int, Mark]] = {}
        self._marks_read: dict[TopicPartition, int] = {}
        self._tails: dict[TopicPartition, Tail] = {}
        self._retiring: asyncio.Task[None] | None = None
        self._failed: tuple[int, BrokerUnavailableError] | None = None

    async def look(self, wanted: DeadLetterFilter, cursor: str | None, limit: int) -> LettersPage:
        """The page of `wanted` that `cursor` stands for, or the first.

        Raises:
            UsageError: the cursor is none of ours.
            BrokerUnavailableError: no broker answers.

        """
        async with self._looking():
            return await self._page(wanted, cursor, limit)

    async def tally(self, wanted: DeadLetterFilter, by: By) -> Tally:
        """How many of each topic, cause or saga there are among the newest.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        async with self._looking():
            page = await self._page(wanted, None, LETTERS_LOOKED_AT_MAX)
        counts = Counter(said_by(letter, by) for letter in page.letters)
        return Tally(counts.most_common(), page.looked_at, page.cursor is None and page.is_whole)

    async def standing(self, wanted: DeadLetterFilter) -> Standing:
        """How many there are on the topics that `wanted` reads.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        async with self._looking():
            ends, firsts = self._windows.ends, self._windows.firsts
            mine = [tp for tp in ends if wanted.reads(tp.topic)]
            number = sum(ends[tp] - firsts[tp] for tp in mine)
            return Standing(number, max(0, number - sum(len(self._marks.get(tp, ())) for tp in mine)))

    async def at(self, positions: Sequence[Position]) -> list[tuple[dict[str, Any], Record]]:
        """The letters at some positions, each as a list shows it and whole, in this order.

        Raises:
            NotFoundError: one is not there, or on none of our topics.
            BrokerUnavailableError: no broker answers.

        """
        found: dict[Position, Record] = {}

        def take(tp: TopicPartition, record: Record) -> None:
            at = Position(*tp, record.offset)
            if at in wanted:
                found[at] = record

        async with self._looking():
            wanted = frozenset(positions)
            for at in positions:
                self._check(at)
            for windows in rounds(wanted):
                await self._windows.read(windows, take)
            for at in positions:
                if at not in found:
                    raise NotFoundError(f"there is no record at {at}: {_GONE}")
            return [(self._shown(summary(found[at], {}, self._fields)), found[at]) for at in positions]

    async def there(self) -> frozenset[str]:
        """The topics that exist.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        async with self._looking():
            return self._windows.there

    def look_anew(self) -> None:
        """Something was done to letters: the next look sees it."""
        self._seen_at = None

    async def close(self) -> None:
        """Let Kafka go."""
        async with self._turn:  # whoever lets it go already is let finish
            if self._retiring is not None:
                self._retiring.cancel()
                self._retiring = None
            await self._forget()

    def _check(self, at: Position) -> None:
        firsts, ends = self._windows.firsts, self._windows.ends
        if not at.topic.startswith(DEAD_LETTER_PREFIX + self._topics.prefix):
            raise NotFoundError(f"{at.topic} is none of our dead letter topics; `saga dlq topics` lists them")
        if at.partition_of not in ends:
            raise NotFoundError(f"there is no partition {at.partition} of a topic {at.topic}")
        if not firsts[at.partition_of] <= at.offset < ends[at.partition_of]:
            raise NotFoundError(f"there is no record at {at}: {_GONE}")

    async def _page(self, wanted: DeadLetterFilter, cursor: str | None, limit: int) -> LettersPage:
        ends = {tp: end for tp, end in self._windows.ends.items() if wanted.reads(tp.topic)}
        bounds = ends if cursor is None else read_bounds(cursor, ends)
        walk = Walk(bounds, self._tails, self._windows.firsts)
        found, looked_at, is_whole = await self._follow(walk, wanted, limit)
        if cursor is None:
            share = LETTERS_KEPT_MAX // max(1, len(walk.tails))
            kept = sum(len(tail.kept) for tail in walk.tails.values()) <= LETTERS_KEPT_MAX
            self._tails = walk.tails if kept else {tp: tail.cut(share) for tp, tail in walk.tails.items() if share}
        following = write_bounds(walk.bounds)
        return LettersPage(found, following, is_whole and (following is not None or not walk.bounds), looked_at)

    async def _follow(self, walk: Walk, wanted: DeadLetterFilter, limit: int) -> tuple[list[dict[str, Any]], int, bool]:
        """What is wanted of what comes, how much came, and whether it was not the time or the number that ended it."""
        found, looked_at, size = list[dict[str, Any]](), 0, _SHARE_MIN
        until: int | None = None
        while len(found) < limit and walk.bounds:
            if walk.unread:
                now = self._clock.monotonic_ms()
                if until is None:  # what is kept costs no time, and without reading once a list would not go on
                    until = now + LETTERS_LOOK_MS_MAX
                elif looked_at >= LETTERS_LOOKED_AT_MAX or now >= until:
                    return found, looked_at, False
                size = min(LETTERS_AT_ONCE_MAX, 4 * size)
                walk.add(await self._read(walk.windows(size, _SHARE_MIN)))
            elif (kept := walk.pop()) is not None:
                looked_at += 1
                letter = self._shown(kept.letter)
                if wanted.lets(letter):
                    found.append(letter)
        return found, looked_at, True

    async def _read(self, windows: Mapping[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, Tail]:
        read = {tp: Tail(first, end, []) for tp, (first, end) in windows.items()}

        def take(tp: TopicPartition, record: Record) -> None:
            read[tp].kept.append(Kept(record.offset, record.timestamp, summary(record, {}, self._fields)))

        await self._windows.read(windows, take)
        return read

    def _shown(self, letter: dict[str, Any]) -> dict[str, Any]:
        topic, partition, offset = letter["position"].rsplit("/", 2)
        mark = self._marks.get(TopicPartition(topic, int(partition)), {}).get(int(offset))
        return letter if mark is None or mark.letter != letter["letter"] else {**letter, "handled": mark.document()}

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """One look: Kafka was asked lately where its topics end.

        Who waited for his turn while Kafka did not answer is told with the one before: else each waits for all before.
        """
        asked_at = self._clock.monotonic_ms()
        async with self._turn:
            now = self._looked_at = self._clock.monotonic_ms()
            if self._failed is not None and self._failed[0] > asked_at:
                raise self._failed[1]
            try:
                if self._seen_at is None or now - self._seen_at > SHELF_AGE_MS_MAX:
                    await self._see()
                    self._seen_at = self._clock.monotonic_ms()
                yield
            except (UsageError, NotFoundError):
                raise
            except Exception as error:
                if isinstance(error, BrokerUnavailableError):
                    self._failed = self._clock.monotonic_ms(), error
                await self._forget()  # whatever was under way: the next look begins anew
                raise
            if self._retiring is None:
                self._retiring = asyncio.create_task(self._retire(), name="dead letters nobody looks at")

    async def _see(self) -> None:
        await self._windows.see()
        ends, firsts = self._windows.ends, self._windows.firsts
        self._tails = {tp: tail for tp, tail in self._tails.items() if tail.end <= ends.get(tp, -1)}
        known = self._marks_read
        new = {tp: (known.get(tp, 0), end) for tp, end in self._windows.marks.items() if end > known.get(tp, 0)}
        if new:
            await self._windows.read(new, self._mark)
            self._marks_read = dict(self._windows.marks)
        for tp in [*self._marks]:
            first = firsts.get(tp, 0)
            if min(self._marks[tp], default=first) < first:
                self._marks[tp] = {at: mark for at, mark in self._marks[tp].items() if at >= first}

    def _mark(self, _tp: TopicPartition, record: Record) -> None:
        read = read_mark(record)
        if read is not None:
            at, mark = read
            known = self._marks.setdefault(at.partition_of, {})
            known.pop(at.offset, None)
            if mark is not None:
                known[at.offset] = mark

    async def _retire(self) -> None:
        while self._clock.monotonic_ms() - self._looked_at < SHELF_IDLE_MS_MAX:
            await self._clock.sleep(SHELF_IDLE_MS_MAX)
        async with self._turn:
            self._retiring = None
            await self._forget()

    async def _forget(self) -> None:
        self._seen_at = None
        self._marks, self._marks_read, self._tails = {}, {}, {}
        await self._windows.close()
