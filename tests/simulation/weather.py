"""What happens around: outages, clocks that jump, retention, topics that vanish or grow, processes asked to stop."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from kafka_saga.messaging.errors import RefusalReason
from kafka_saga.messaging.records import Message
from kafka_saga.participants.services import SERVICES
from kafka_saga.schemas.topics import TopicNames
from tests.simulation.broker import Partition, SimBroker
from tests.simulation.processes import Process
from tests.simulation.replicas import Place, Server
from tests.simulation.virtual_time import SimClock


class Weather:
    """Happenings of one world, spread over its fault phase."""

    def __init__(
        self,
        broker: SimBroker,
        clock: SimClock,
        topics: TopicNames,
        store: sqlite3.Connection,
        processes: Sequence[Process],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._store = store
        self._processes = processes
        self.server: Server | None = None
        self.places: Sequence[Place] = ()
        self._requests = topics.requests("order")
        self._replies = [topics.replies_of(name) for name in SERVICES]
        self._inner = [topics.commands(name) for name in SERVICES] + self._replies

    async def run(self) -> None:
        swarm, chance = self._broker.swarm, self._broker.chance
        happenings = [
            *[self._outage] * swarm.outages,
            *[self._jump] * swarm.clock_jumps,
            *[self._retention] * swarm.retentions,
            *[self._recreation] * swarm.recreations,
            *[self._growth] * swarm.growths,
            *[self._transaction] * swarm.transactions,
            *[self._leaderless] * swarm.leaderless,
            *[self._refusal] * swarm.refusals,
            *[self._stop] * swarm.stops,
            *[self._freeze] * swarm.freezes,
            *[self._store_outage] * swarm.store_outages,
            *[self._cut] * swarm.cuts,
        ]
        chance.shuffle(happenings)
        for happening in happenings:
            await self._clock.sleep(chance.randint(0, swarm.fault_phase_ms // len(happenings)))
            await happening()
            self._broker.happened.append(happening.__name__.strip("_").replace("_", " "))

    async def _outage(self) -> None:
        self._broker.up.clear()
        await self._clock.sleep(self._broker.chance.randint(1_000, self._broker.swarm.outage_ms_max))
        self._broker.up.set()

    async def _jump(self) -> None:
        self._clock.offset_ms += self._broker.chance.choice([-3_600_000, -5_000, 5_000, 60_000])

    async def _retention(self) -> None:
        """Commands and replies go whether or not they were read; requests only once they were (I2)."""
        chance = self._broker.chance
        for topic in chance.sample(self._inner, 3):
            for log in self._broker.partitions(topic):
                log.expire(chance.randint(0, len(log.records)))
        read: dict[int, int] = dict(
            self._store.execute("SELECT partition, next FROM offsets WHERE topic = ?", (self._requests,)).fetchall()
        )
        for number, log in enumerate(self._broker.partitions(self._requests)):
            log.expire(chance.randint(0, max(0, read.get(number, 0) - log.first)))

    async def _recreation(self) -> None:
        for log in self._broker.partitions(self._broker.chance.choice(self._inner)):
            log.clear()

    async def _growth(self) -> None:
        """One topic gets another partition; the keys of its messages go elsewhere from now on."""
        topic = self._broker.chance.choice([*self._inner, self._requests])
        self._broker.partitions(topic).append(Partition())

    async def _transaction(self) -> None:
        """Somebody else's producer sends a copy of an old reply, and leaves open for a while whether it counts."""
        broker, chance = self._broker, self._broker.chance
        old = [record for topic in self._replies for record in broker.history[topic]]
        if not old:
            return
        copied = chance.choice(old)
        message = Message(copied.topic, copied.key, copied.value, copied.headers)
        record = broker.append(message, open_transaction=True)
        await self._clock.sleep(chance.choice([100, 3_000, 15_000, 60_000]))
        broker.end_transaction(record, committed=chance.random() < 0.5)

    async def _leaderless(self) -> None:
        """The leader of a partition dies when a message has just come, and no other can take over."""
        broker, chance = self._broker, self._broker.chance
        topic = chance.choice(self._inner)
        before = {log: log.end() for log in broker.partitions(topic)}
        await broker.arrival((topic,), 10_000)
        log = max(before, key=lambda log: log.end() - before[log])
        log.led = False
        await self._clock.sleep(chance.choice([500, 3_000, 15_000, 60_000]))
        log.led = True

    async def _refusal(self) -> None:
        """One topic takes nothing for a while; commands may also be too large for it (R56)."""
        chance = self._broker.chance
        topic = chance.choice(self._inner)
        passing: list[RefusalReason] = ["unknown_topic", "not_authorised", "timestamp", "unavailable"]
        reasons: list[RefusalReason] = [*passing, "too_large"] if topic.endswith(".commands") else passing
        await self._broker.arrival((topic,), 10_000)  # whoever sent that may never learn that it came
        since_ms = self._clock.monotonic_ms()
        self._broker.refusing[topic] = chance.choice(reasons)
        await self._clock.sleep(chance.randint(1_000, 60_000))
        self._broker.refusing.pop(topic, None)
        self._broker.refusals.append((topic, since_ms, self._clock.monotonic_ms()))

    async def _stop(self) -> None:
        self._broker.chance.choice(self._processes).restart()

    async def _freeze(self) -> None:
        """A replica is stopped, and goes on when others have its partitions, and may have declared it dead."""
        chance = self._broker.chance
        place = chance.choice(self.places)
        place.freeze()
        await self._clock.sleep(chance.choice([500, 4_000, 8_000, 15_000, 60_000]))
        place.thaw()

    async def _store_outage(self) -> None:
        assert self.server is not None
        self.server.up = False
        await self._clock.sleep(self._broker.chance.choice([500, 4_000, 8_000, 60_000]))
        self.server.up = True

    async def _cut(self) -> None:
        """One replica is cut off from the database but not from Kafka, or the reverse."""
        chance = self._broker.chance
        place, is_store = chance.choice(self.places), chance.random() < 0.5
        place.reaches_store, place.reaches_kafka = not is_store, is_store
        await self._clock.sleep(chance.choice([500, 4_000, 8_000, 30_000]))
        place.reaches_store = place.reaches_kafka = True
