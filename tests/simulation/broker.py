"""Kafka in memory: topics of partitions of records, what they have lost meanwhile, and who waits for more."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- for its type only: chance is handed in
from collections import defaultdict
from dataclasses import dataclass
from zlib import crc32

from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.errors import RefusalReason
from kafka_saga.messaging.records import Message, TopicPartition
from tests.simulation.chance import Swarm
from tests.simulation.virtual_time import SimClock


@dataclass(frozen=True, slots=True)
class SimRecord:
    """A record in a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    appended_ms: int
    """When, by the clock that never jumps: for checkers."""


class Partition:
    """What of a partition there is: offsets from `first` to before `end`, of which what is before `stable` is read."""

    def __init__(self) -> None:
        self.first = 0
        self.records: list[SimRecord] = []
        self.led = True
        """Whether a broker leads it: otherwise nobody writes, reads, or learns where it ends."""
        self.wanted = 0
        """The offset after the last record that counts."""
        self._open: set[int] = set()
        self._aborted: set[int] = set()

    def end(self) -> int:
        return self.first + len(self.records)

    def stable(self) -> int:
        return min(self._open, default=self.end())

    def read(self, offset: int, limit: int) -> list[SimRecord]:
        """Records from `offset` on; some may not count, and are passed over by whoever reads."""
        start = offset - self.first
        return self.records[start : min(start + limit, self.stable() - self.first)]

    def counts(self, record: SimRecord) -> bool:
        return record.offset not in self._aborted

    def add(self, record: SimRecord, *, open_transaction: bool = False) -> None:
        self.records.append(record)
        if open_transaction:
            self._open.add(record.offset)
        else:
            self.wanted = self.end()

    def end_transaction(self, record: SimRecord, *, committed: bool) -> None:
        """The transaction that wrote `record` ends; of a topic made anew since there is nothing to end."""
        if record.offset not in self._open:
            return
        self._open.discard(record.offset)
        if committed:
            self.wanted = max(self.wanted, record.offset + 1)
        else:
            self._aborted.add(record.offset)

    def expire(self, count: int) -> None:
        """Retention removes the `count` oldest records, read or not."""
        count = min(count, self.stable() - self.first)
        self.first += count
        del self.records[:count]

    def clear(self) -> None:
        """The topic is deleted and created anew: offsets begin at 0 again."""
        self.first = self.wanted = 0
        self.records, self._open, self._aborted = [], set(), set()


class SimBroker:
    """The topics, and whether anybody can reach them."""

    def __init__(self, clock: SimClock, chance: random.Random, swarm: Swarm) -> None:
        self.clock = clock
        self.chance = chance
        self.swarm = swarm
        self.faulty = True
        self.up = asyncio.Event()
        self.up.set()
        self.refusing: dict[str, RefusalReason] = {}
        """The topics that take nothing for now, and why."""
        self.refused: list[tuple[Message, RefusalReason]] = []
        """What was refused, each time that it was: for checkers."""
        self.refusals: list[tuple[str, int, int]] = []
        """Which topics took nothing, from when to when, by the clock that never jumps: for checkers."""
        self.lost: list[Message] = []
        """What was acknowledged and never stored: for checkers."""
        self.topics: dict[str, list[Partition]] = {}
        self.history: defaultdict[str, list[SimRecord]] = defaultdict(list)
        """Everything that was ever stored, whatever retention did to it: for checkers."""
        self.hints: dict[tuple[str, TopicPartition], int] = {}
        """What the consumer groups have committed."""
        self.commits: dict[tuple[str, TopicPartition], Committed] = {}
        """The same with their texts, where groups have rivals."""
        self.happened: list[str] = []
        """The faults that really came."""
        self._waiting: defaultdict[str, dict[asyncio.Future[bool], None]] = defaultdict(dict)

    def partitions(self, topic: str) -> list[Partition]:
        if topic not in self.topics:
            self.topics[topic] = [Partition() for _ in range(self.swarm.partitions)]
        return self.topics[topic]

    def place(self, message: Message) -> tuple[int, Partition]:
        """Where `message` goes."""
        partitions = self.partitions(message.topic)
        number = crc32(message.key or b"") % len(partitions)
        return number, partitions[number]

    def append(self, message: Message, *, open_transaction: bool = False) -> SimRecord:
        """Store one message; wakes every reader."""
        topic = message.topic
        number, log = self.place(message)
        now, elapsed = self.clock.now_ms(), self.clock.monotonic_ms()
        record = SimRecord(topic, number, log.end(), message.key, message.value, tuple(message.headers), now, elapsed)
        log.add(record, open_transaction=open_transaction)
        self.history[topic].append(record)
        waiting = self._waiting[topic]
        if waiting:
            for waiter in waiting:
                _wake(waiter, True)
            waiting.clear()
        return record

    def end_transaction(self, record: SimRecord, *, committed: bool) -> None:
        """Somebody's transaction that wrote `record` ends: either it counts now, or it was never given."""
        self.partitions(record.topic)[record.partition].end_transaction(record, committed=committed)
        if not committed:
            self.history[record.topic] = [other for other in self.history[record.topic] if other is not record]
        for waiter in self._waiting[record.topic]:
            _wake(waiter, True)
        self._waiting[record.topic].clear()

    async def arrival(self, topics: tuple[str, ...], timeout_ms: int) -> bool:
        """Wait until something is stored in one of `topics`; false when `timeout_ms` have passed before."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(timeout_ms / 1000, _wake, waiter, False)
        for topic in topics:
            self._waiting[topic][waiter] = None
        try:
            return await waiter
        finally:
            timer.cancel()
            for topic in topics:
                self._waiting[topic].pop(waiter, None)

    def happens(self, probability: float) -> bool:
        return probability > 0 and self.faulty and self.chance.random() < probability


def _wake(waiter: asyncio.Future[bool], arrived: bool) -> None:
    if not waiter.done():
        waiter.set_result(arrived)
