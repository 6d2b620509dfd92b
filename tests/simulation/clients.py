"""Clients of the simulated Kafka, of the kind that `messaging` gives to the engine and to participants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from kafka_saga.messaging.claims import Claimant, claim_of
from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.hints import CommitHints
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.survey import Extent
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.failpoints import failpoint
from tests.simulation.broker import Partition, SimBroker, SimRecord

PUBLISH_TIMEOUT_MS = 10_000

LOOK_INTERVAL_MS = 30_000
"""Who is not asked how far topics reach hears of added partitions late."""


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
        for topic, reason in broker.refusing.items():
            refused = [message for message in messages if message.topic == topic]
            if refused:
                broker.refused += [(message, reason) for message in refused]
                left = [message for message in messages if message.topic != topic]
                raise PublishRefusedError(topic, reason, "refused for a while", refused, left)
        absent = [message for message in messages if not broker.place(message)[1].led]
        messages = [message for message in messages if message not in absent]
        half = len(messages) // 2
        for place, message in enumerate(messages):
            if place == half:
                failpoint("publish.half")
            self._store(message)
        if absent:
            await broker.clock.sleep(PUBLISH_TIMEOUT_MS)
            raise BrokerUnavailableError("a partition has no leader")
        if broker.happens(broker.swarm.lose_ack):
            raise BrokerUnavailableError("stored, but the answer is lost")

    def _store(self, message: Message) -> None:
        broker = self._broker
        precious = message.topic.startswith("dlq.") or message.topic.endswith((".requests", ".events"))
        if not precious and broker.happens(broker.swarm.lose_message):
            if broker.chance.random() < 0.5:  # an abandoned producer's batch, that arrives after all
                delay_s = broker.chance.choice([8, 20, 30, 40, 60])
                asyncio.get_running_loop().call_later(delay_s, broker.append, message)
            else:
                broker.lost.append(message)
            return
        broker.append(message)
        if broker.happens(broker.swarm.duplicate):
            broker.append(message)
        if not precious and broker.happens(broker.swarm.late_copies):
            delay_s = broker.chance.choice([1, 8, 30, 90])
            asyncio.get_running_loop().call_later(delay_s, broker.append, message)


GROUP_LATENCY_MS_MAX = 200
"""What a claim rests on: who saw the group free has committed within `SETTLE_MS`, or waits until he was noticed."""


class SimGroups:
    """The coordinator: what is committed last counts, and an answer may be lost."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        await self._reached()
        self._broker.commits |= {(group, tp): Committed(offset, metadata) for tp, offset in offsets.items()}
        if self._broker.happens(self._broker.swarm.lose_ack):
            raise BrokerUnavailableError("committed, but the answer is lost")

    async def committed_by(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        await self._reached()
        commits = self._broker.commits
        return {tp: commits[group, tp] for tp in partitions if (group, tp) in commits}

    async def _reached(self) -> None:
        broker = self._broker
        await broker.clock.sleep(broker.chance.randint(0, min(GROUP_LATENCY_MS_MAX, broker.swarm.latency_ms_max)))
        if not broker.up.is_set():
            raise BrokerUnavailableError("no broker answers")


class SimConsumer:
    """`Consumer`: reads every partition of its topics from given positions, and takes up those that are added."""

    def __init__(self, broker: SimBroker, topics: Iterable[str], group: str, claimant: Claimant | None = None) -> None:
        groups = SimGroups(broker)
        self.claim = claim_of(groups, group, claimant, broker.clock)
        self._told = None if claimant is None else CommitHints(groups, group, broker.clock, self.claim)
        self._broker = broker
        self._topics = tuple(sorted(set(topics)))
        self._group = group
        self._positions: dict[TopicPartition, int] = {}
        self._logs: dict[TopicPartition, Partition] = {}
        self._paused: set[str] = set()
        self._resets: list[Reset] = []
        self._away_until: dict[TopicPartition, int] = {}
        self._looked_at_ms = 0
        self._saw_added = False

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        await self._broker.up.wait()
        every = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in range(len(self._broker.partitions(topic)))
        ]
        await self.claim.check(every)
        self._take_up(positions)
        await self.claim.take(self._positions)

    async def stop(self) -> None:
        if self._told is not None:
            await self._told.stop()
        self._positions = {}

    async def poll(self, timeout_ms: int, records_max: int) -> list[SimRecord]:
        broker, clock = self._broker, self._broker.clock
        deadline = clock.monotonic_ms() + timeout_ms
        if broker.happens(broker.swarm.rebalance):
            self._rebalance()
        if self._saw_added or (broker.swarm.growths and clock.monotonic_ms() - self._looked_at_ms > LOOK_INTERVAL_MS):
            self._take_up({})
        while True:
            found = self._available(records_max) if broker.up.is_set() else []
            if found:
                for record in found:
                    self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
                counting = [record for record in found if self._counts(record)]
                if counting:
                    return counting
                continue
            left_ms = deadline - clock.monotonic_ms()
            if left_ms <= 0:
                return []
            if not await broker.arrival(self._topics, left_ms):
                return []
            await clock.sleep(1)

    def _available(self, records_max: int) -> list[SimRecord]:
        logs = self._logs
        found: list[SimRecord] = []
        order = [tp for tp, at in self._positions.items() if at != logs[tp].end() and self._readable(tp)]
        if len(order) > 1:
            self._broker.chance.shuffle(order)
        for tp in order:
            log = logs[tp]
            at = self._positions[tp]
            if not log.first <= at <= log.end():
                self._positions[tp] = log.first
                self._resets.append(Reset(tp, at, log.first, "beyond_end" if at > log.end() else "deleted"))
                return []  # as the real one: the poll that finds out brings nothing
            found += log.read(at, records_max - len(found))
        return found

    def _counts(self, record: SimRecord) -> bool:
        return self._logs[TopicPartition(record.topic, record.partition)].counts(record)

    def _readable(self, tp: TopicPartition) -> bool:
        if tp.topic in self._paused or not self._logs[tp].led:
            return False
        return not self._away_until or self._away_until.get(tp, 0) <= self._broker.clock.monotonic_ms()

    def _take_up(self, positions: Mapping[TopicPartition, int]) -> None:
        self._looked_at_ms = self._broker.clock.monotonic_ms()
        self._saw_added = False
        for topic in self._topics:
            for number, log in enumerate(self._broker.partitions(topic)):
                tp = TopicPartition(topic, number)
                if tp in self._positions:
                    continue
                at = positions.get(tp)
                self._logs[tp] = log
                if at is not None and not log.first <= at <= log.end():
                    self._resets.append(Reset(tp, at, log.first, "beyond_end" if at > log.end() else "deleted"))
                    at = None
                self._positions[tp] = log.first if at is None else at
                self.claim.cover({tp: self._positions[tp]})

    def _rebalance(self) -> None:
        """Some partitions are taken away, and come back where the group's commits are, or where they begin."""
        broker = self._broker
        for tp in list(self._positions):
            if broker.chance.random() < 0.5:
                away_ms = broker.chance.choice([0, 500, 5_000, 15_000])
                self._away_until[tp] = broker.clock.monotonic_ms() + away_ms
                first = self._logs[tp].first
                back = broker.chance.choice([first, broker.hints.get((self._group, tp), first)])
                self._positions[tp] = min(self._positions[tp], max(first, back))
        broker.happened.append("rebalance")

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, topics: Iterable[str]) -> None:
        self._paused |= set(topics)

    def resume(self, topics: Iterable[str]) -> None:
        self._paused -= set(topics)

    def take_resets(self) -> tuple[Reset, ...]:
        taken, self._resets = self._resets, []
        return tuple(taken)

    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Hints decide nothing (R23); but they must not say more than the store does (I15)."""
        for tp, offset in offsets.items():
            self._broker.hints[self._group, tp] = offset
        if self._told is not None:
            self._told.put(offsets, metadata)

    async def extents(self, topics: Iterable[str]) -> dict[TopicPartition, Extent]:
        await self._broker.clock.sleep(self._broker.chance.randint(0, self._broker.swarm.latency_ms_max))
        if not self._broker.up.is_set():
            raise BrokerUnavailableError("no broker answers")
        found: dict[TopicPartition, Extent] = {}
        for topic in topics:
            for number, log in enumerate(self._broker.partitions(topic)):
                if not log.led:
                    raise BrokerUnavailableError(f"{topic}[{number}] has no leader")
                found[TopicPartition(topic, number)] = Extent(log.stable(), log.end())
        self._saw_added = self._saw_added or not found.keys() <= self._positions.keys()
        return found

    async def positions(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        wanted = set(topics)
        return {tp: position for tp, position in self._positions.items() if tp.topic in wanted}
