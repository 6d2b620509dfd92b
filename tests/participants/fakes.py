"""Kafka in memory, as far as a worker sees it: logs of commands, and what was published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.schemas.envelope import Outcome, ReplyHead, read_headers, read_reply

COMMANDS = "shop.commands"
REPLIES = "shop.replies"


@dataclass(frozen=True, slots=True)
class Read:
    """A record as a consumer returns it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int = 0


class Signals:
    """Lets a test wait until something is so, without looking at a clock."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()

    async def notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(holds)


class FakeBroker:
    """One command topic, and everything that was published. It survives its clients, as Kafka does."""

    def __init__(self, partitions: int = 2) -> None:
        self.logs: dict[TopicPartition, list[Read]] = {TopicPartition(COMMANDS, n): [] for n in range(partitions)}
        self.published: list[Message] = []
        self.signals = Signals()

    async def send(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], partition: int = 0
    ) -> None:
        tp = TopicPartition(COMMANDS, partition)
        self.logs[tp].append(Read(COMMANDS, partition, len(self.logs[tp]), key, value, headers))
        await self.signals.notify()

    def replies(self, topic: str = REPLIES) -> list[tuple[ReplyHead, Message]]:
        return [(read_reply(read_headers(m.headers), m.key), m) for m in self.published if m.topic == topic]

    def outcomes(self) -> list[tuple[str, Outcome]]:
        return [(head.command.saga_id, head.outcome) for head, _ in self.replies()]

    def dead_letters(self) -> list[Message]:
        return [message for message in self.published if message.topic.startswith("dlq.")]


class FakeConsumer:
    def __init__(
        self, broker: FakeBroker, positions: Mapping[TopicPartition, int], *, records_max: int = 2_000
    ) -> None:
        self._broker = broker
        self._records_max = records_max
        self.positions = {tp: positions.get(tp, 0) for tp in broker.logs}
        self.hints: dict[TopicPartition, int] = {}
        self.hint_metadata = ""
        self.hint_calls = 0
        self.resets: list[Reset] = []

    async def poll(self, timeout_ms: int, records_max: int) -> Sequence[Record]:
        await self._broker.signals.notify()  # each turn of the worker is one
        records = self._take(min(records_max, self._records_max))
        if not records:
            try:
                async with asyncio.timeout(min(timeout_ms, 5) / 1000):
                    await self._broker.signals.until(self._has_more)
            except TimeoutError:
                return []
            records = self._take(min(records_max, self._records_max))
        return records

    def take_resets(self) -> Sequence[Reset]:
        resets, self.resets = self.resets, []
        return resets

    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        self.hints |= offsets
        self.hint_metadata = metadata
        self.hint_calls += 1

    def _has_more(self) -> bool:
        return any(len(log) > self.positions[tp] for tp, log in self._broker.logs.items())

    def _take(self, records_max: int) -> list[Record]:
        records: list[Record] = []
        for tp, log in self._broker.logs.items():
            taken = log[self.positions[tp] :][: records_max - len(records)]
            self.positions[tp] += len(taken)
            records += taken
        return records


@dataclass
class FakeProducer:
    broker: FakeBroker
    failures: list[Exception] = field(default_factory=list)
    """Raised by the next calls, one each; an unavailable broker may have stored the messages nevertheless."""
    gate: asyncio.Event | None = None
    """While it is not set, publishing waits: a broker that is slow."""
    refused_key: bytes | None = None
    """Messages with this key are too large for the broker."""
    attempts: int = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        self.attempts += 1
        await self.broker.signals.notify()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, BrokerUnavailableError):
                self.broker.published += messages[: len(messages) // 2]
            raise failure
        refused = [message for message in messages if self.refused_key and message.key == self.refused_key]
        if refused:
            raise PublishRefusedError(refused[0].topic, "too_large", "too large", refused)
        self.broker.published += messages
        await self.broker.signals.notify()


class FakeClock:
    """Time that stands still; sleeping takes no time but moves it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.at_ms = now_ms
        self.slept: list[int] = []
        self.gate: asyncio.Event | None = None

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep(self, duration_ms: int) -> None:
        self.slept.append(duration_ms)
        if self.gate is not None:
            await self.gate.wait()
        self.at_ms += duration_ms
