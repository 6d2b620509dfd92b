"""Kafka in memory: topics of partitions of records, and clients of the kind that `messaging` gives to the engine."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- for its type only: chance is handed in
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from messaging.consumer import Reset
from messaging.records import Message, TopicPartition
from runtime.errors import BrokerUnavailableError
from runtime.failpoints import failpoint
from tests.simulation.chance import Swarm
from tests.simulation.virtual_time import SimClock

PUBLISH_TIMEOUT_MS = 10_000


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


class SimBroker:
    """The topics, and whether anybody can reach them."""

    def __init__(self, clock: SimClock, chance: random.Random, swarm: Swarm) -> None:
        self.clock = clock
        self.chance = chance
        self.swarm = swarm
        self.faulty = True
        self.up = asyncio.Event()
        self.up.set()
        self.topics: dict[str, list[list[SimRecord]]] = {}
        self.changed = asyncio.Event()

    def partitions(self, topic: str) -> list[list[SimRecord]]:
        if topic not in self.topics:
            self.topics[topic] = [[] for _ in range(self.swarm.partitions)]
        return self.topics[topic]

    def append(self, message: Message) -> None:
        """Store one message; wakes every reader."""
        partitions = self.partitions(message.topic)
        number = crc32(message.key or b"") % len(partitions)
        log = partitions[number]
        log.append(
            SimRecord(
                message.topic, number, len(log), message.key, message.value, tuple(message.headers), self.clock.now_ms()
            )
        )
        self.changed.set()
        self.changed = asyncio.Event()

    def records(self, topic: str) -> list[SimRecord]:
        """Everything in a topic."""
        return [record for log in self.partitions(topic) for record in log]

    def happens(self, probability: float) -> bool:
        return self.faulty and probability > 0 and self.chance.random() < probability


class SimProducer:
    """`Producer`: everything is stored when `publish` returns; after an error, some of it may be."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker

    async def publish(self, messages: Sequence[Message]) -> None:
        broker = self._broker
        await broker.clock.sleep(broker.chance.randint(0, broker.swarm.latency_ms_max))
        if not broker.up.is_set():
            await broker.clock.sleep(PUBLISH_TIMEOUT_MS)
            raise BrokerUnavailableError("no broker answers")
        half = len(messages) // 2
        for place, message in enumerate(messages):
            if place == half:
                failpoint("publish.half")
            self._store(message)
        if broker.happens(broker.swarm.lose_ack):
            raise BrokerUnavailableError("stored, but the answer is lost")

    def _store(self, message: Message) -> None:
        broker = self._broker
        precious = message.topic.startswith("dlq.") or message.topic.endswith((".requests", ".events"))
        if not precious and broker.happens(broker.swarm.lose_message):
            if broker.chance.random() < 0.5:  # an abandoned producer's batch, that arrives after all
                delay_s = broker.chance.choice([8, 20, 30, 40, 60])
                asyncio.get_running_loop().call_later(delay_s, broker.append, message)
            return
        broker.append(message)
        if broker.happens(broker.swarm.duplicate):
            broker.append(message)
        if not precious and broker.happens(broker.swarm.late_copies):
            delay_s = broker.chance.choice([1, 8, 30, 90])
            asyncio.get_running_loop().call_later(delay_s, broker.append, message)


class SimConsumer:
    """`Consumer`: reads every partition of its topics from given positions."""

    def __init__(self, broker: SimBroker, topics: Iterable[str]) -> None:
        self._broker = broker
        self._topics = tuple(sorted(set(topics)))
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[str] = set()

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        while not self._broker.up.is_set():
            await self._broker.up.wait()
        for topic in self._topics:
            for number in range(len(self._broker.partitions(topic))):
                tp = TopicPartition(topic, number)
                self._positions[tp] = positions.get(tp, 0)

    async def stop(self) -> None:
        self._positions = {}

    async def poll(self, timeout_ms: int, records_max: int) -> list[SimRecord]:
        clock = self._broker.clock
        deadline = clock.monotonic_ms() + timeout_ms
        while True:
            found = self._available(records_max) if self._broker.up.is_set() else []
            if found:
                for record in found:
                    self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
                return found
            left_ms = deadline - clock.monotonic_ms()
            if left_ms <= 0:
                return []
            changed = asyncio.ensure_future(self._broker.changed.wait())
            await asyncio.wait([changed], timeout=left_ms / 1000)
            changed.cancel()
            await clock.sleep(1)

    def _available(self, records_max: int) -> list[SimRecord]:
        order = [tp for tp in self._positions if tp.topic not in self._paused]
        self._broker.chance.shuffle(order)
        found: list[SimRecord] = []
        for tp in order:
            log = self._broker.partitions(tp.topic)[tp.partition]
            found += log[self._positions[tp] : self._positions[tp] + records_max - len(found)]
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, topics: Iterable[str]) -> None:
        self._paused |= set(topics)

    def resume(self, topics: Iterable[str]) -> None:
        self._paused -= set(topics)

    def take_resets(self) -> tuple[Reset, ...]:
        return ()

    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Hints decide nothing (R23)."""

    async def committed_metadata(self) -> set[str]:
        return set()

    async def end_offsets(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        await self._broker.clock.sleep(self._broker.chance.randint(0, self._broker.swarm.latency_ms_max))
        if not self._broker.up.is_set():
            raise BrokerUnavailableError("no broker answers")
        return {
            TopicPartition(topic, number): len(log)
            for topic in topics
            for number, log in enumerate(self._broker.partitions(topic))
        }

    async def positions(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        wanted = set(topics)
        return {tp: position for tp, position in self._positions.items() if tp.topic in wanted}
