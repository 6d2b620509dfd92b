"""Replicas of the orchestrator on one store: what stands between each of them and everything else, and may fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.engine.handover import Handover
from kafka_saga.orchestrator.engine.lives import BEATS_MIN
from kafka_saga.orchestrator.engine.replica import sharing
from kafka_saga.orchestrator.engine.worker import Engine
from kafka_saga.orchestrator.store.members import Joining, Peer
from kafka_saga.orchestrator.store.memory_server import MemoryServer
from kafka_saga.orchestrator.store.port import Batch, Known, OutboxId, Store
from kafka_saga.orchestrator.store.shared_memory import SharedMemoryStore
from kafka_saga.participants.services import SERVICES
from kafka_saga.runtime.errors import BrokerUnavailableError, ConflictError, StoreUnavailableError
from kafka_saga.schemas.ids import SagaRef
from tests.simulation.broker import SimBroker
from tests.simulation.clients import SimProducer
from tests.simulation.group import SimGroup, SimGroupReader
from tests.simulation.processes import Disk, Incarnation, Process
from tests.simulation.virtual_time import SimClock

if TYPE_CHECKING:
    from tests.simulation.world import World

_T = TypeVar("_T")

GROUP = "orchestrator-0"

STORE_TIMEOUT_MS = 5_000
STORE_LATENCY_MS_MAX = 30


class Server:
    """PostgreSQL: the tables, and whether anybody reaches it."""

    def __init__(self, broker: SimBroker) -> None:
        self.broker = broker
        self.up = True
        self.tables: WatchedTables | None = None


IN_A_ROW_MAX = 300
"""Where all are given every partition one may lose again and again, while each batch of the others is progress; who
reads nothing again loses for ever."""


class WatchedTables(MemoryServer):
    """The server, and what no batch and no judge may ever do there: for checkers."""

    def __init__(self, truth: Store) -> None:
        super().__init__(truth)
        self.violations: list[str] = []
        self.conflicts: Counter[str] = Counter()
        self._looks: Counter[tuple[int, int]] = Counter()
        """How often the first has beaten since the second did."""
        self._in_a_row: Counter[int] = Counter()
        """How often each life was refused since it last wrote something."""
        self.most_in_flight = 0

    def beat(self, replica: int, window: int) -> tuple[Peer, ...]:
        peers = super().beat(replica, window)
        for peer in peers:
            self._looks[replica, peer.replica] += 1
            self._looks[peer.replica, replica] = 0
        return peers

    def bury(self, judge: int, peer: Peer) -> bool:
        done = super().bury(judge, peer)
        looks = self._looks[judge, peer.replica]
        if done and looks < BEATS_MIN:
            self.violations.append(f"R61: {peer.name} was declared dead by who beat {looks} times since it did")
        return done

    async def commit(
        self, replica: int, settings: int, kept: Mapping[SagaRef, Known], batch: Batch, holder: object = None
    ) -> OutboxId | None:
        paused = set(await self.truth.pauses()) if not batch.pauses else set()
        stored = await self.truth.offsets()
        try:
            row = await super().commit(replica, settings, kept, batch, holder)
        except ConflictError as error:
            self.conflicts[error.what] += 1
            self._in_a_row[replica] += 1
            if self._in_a_row[replica] == IN_A_ROW_MAX:
                self.violations.append(f"R67: life {replica} was refused {IN_A_ROW_MAX} times: {error.what}")
            raise
        if not self._lives_now(replica):
            self.violations.append(f"R62: life {replica} has ended, and wrote")
        self._in_a_row[replica] = 0
        for tp, step in batch.offsets.items():
            if step.next < stored.get(tp, 0) and all(reset.partition != tp for reset in batch.resets):
                self.violations.append(f"R65: {tp} went back from {stored[tp]} to {step.next}")
        for message in batch.messages:
            service = message.topic.removesuffix(".commands")
            if service != message.topic and f"service:{service}" in paused:
                self.violations.append(f"R72: a command was sent to {service}, which had been paused before")
        for other in {row.writer for row in batch.published} - {replica}:
            if self._lives_now(other):
                self.violations.append(f"R73: {replica} published for {other}, which lives")
        self.most_in_flight = max(self.most_in_flight, self.sums().in_flight)
        return row


class Place:
    """One replica's machine: its clock and its network, in whichever life its process is."""

    def __init__(self, name: str, clock: SimClock, skew_ms: int) -> None:
        self.name = name
        self.clock = ReplicaClock(self, clock, skew_ms)
        self.reaches_store = self.reaches_kafka = True
        self._goes = asyncio.Event()
        self._goes.set()

    async def go(self) -> None:
        """Wait where the process is stopped (SIGSTOP)."""
        await self._goes.wait()

    def freeze(self) -> None:
        self._goes.clear()

    def thaw(self) -> None:
        self._goes.set()


class ReplicaClock:
    """A machine's clock: its wall clock is anything; who sleeps while frozen wakes later."""

    def __init__(self, place: Place, clock: SimClock, skew_ms: int) -> None:
        self._place = place
        self._clock = clock
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._skew_ms

    def monotonic_ms(self) -> int:
        return self._clock.monotonic_ms() + 12_345  # of each machine's own

    async def sleep(self, duration_ms: int) -> None:
        await self._clock.sleep(duration_ms)
        await self._place.go()


class SimStore(SharedMemoryStore):
    """One replica's object of the store, with a network before the server."""

    def __init__(self, server: Server, place: Place, life: Incarnation) -> None:
        assert server.tables is not None
        super().__init__(server.tables, place.clock)
        self._world = server
        self._place = place
        self._life = life

    async def ask(self, work: Callable[[], Awaitable[_T]]) -> _T:
        broker = self._world.broker
        await self._place.go()
        await self._reach()
        await broker.clock.sleep(broker.chance.randint(0, STORE_LATENCY_MS_MAX))
        await self._reach()
        if broker.happens(broker.swarm.commit_unknown):
            broker.happened.append("store: the question was lost")
            await self._give_up()
        answer = await work()
        await broker.clock.sleep(broker.chance.randint(0, STORE_LATENCY_MS_MAX))
        await self._place.go()
        await self._reach()
        if broker.happens(broker.swarm.commit_unknown):
            broker.happened.append("store: the answer was lost")
            await self._give_up()
        self._life.must_live()
        return answer

    async def _reach(self) -> None:
        self._life.must_live()
        if not self._world.up or not self._place.reaches_store:
            await self._give_up()

    async def _give_up(self) -> None:
        broker = self._world.broker
        await broker.clock.sleep(broker.chance.choice([1, 100, STORE_TIMEOUT_MS]))
        await self._place.go()
        self._life.must_live()
        raise StoreUnavailableError("the database does not answer")


class SimReplicaReader(SimGroupReader):
    """The group's reader behind one machine's network."""

    def __init__(
        self, broker: SimBroker, topics: Sequence[str], group: SimGroup, place: Place, owner: Handover
    ) -> None:
        super().__init__(broker, topics, GROUP, group, place.name, owner)
        self._place = place

    async def reach(self) -> None:
        await self._place.go()
        if not self._place.reaches_kafka:
            raise BrokerUnavailableError("cut off from Kafka")


class SimReplicaProducer(SimProducer):
    """The producer behind one machine's network."""

    def __init__(self, broker: SimBroker, place: Place) -> None:
        super().__init__(broker)
        self._place = place
        self._clock = broker.clock

    async def publish(self, messages: Sequence[Message]) -> None:
        await self._place.go()
        if not self._place.reaches_kafka:
            await self._clock.sleep(1_000)
            raise BrokerUnavailableError("cut off from Kafka")
        await super().publish(messages)
        await self._place.go()


def replica(world: World, number: int) -> Process:
    """A replica and its restarts, always of one name on one machine."""
    broker, names = world.broker, world.topics
    skew_ms = world.chance.choice([0, -3_600_000, 60_000, 3_600_000])
    place = Place(f"r{number}", world.clock, skew_ms)
    world.places.append(place)
    read = [names.requests("order"), *(names.replies_of(service) for service in SERVICES)]

    async def start(life: Incarnation) -> None:
        await place.go()
        store = SimStore(world.server, place, life)
        group = world.group
        assert group is not None
        handover = Handover()
        reader = SimReplicaReader(broker, read, group, place, handover)
        # What is set may be wrong: lanes are as many as the topic has partitions, whatever a start thinks.
        lanes = max(1, len(broker.partitions(min(read[1:]))) + world.lanes_off)
        joining = Joining(place.name, "1.0", "order 1", world.swarm.in_flight_max, lanes)
        engine = Engine(
            store=store,
            reader=reader,
            sender=SimReplicaProducer(broker, place),
            registry=world.registry,
            topics=names,
            clock=place.clock,
            group=GROUP,
            chance=world.chance.random,
            in_flight_max=world.swarm.in_flight_max,
            owning=sharing(store.members, reader, handover, joining),
        )
        await engine.run(life.lifecycle)

    return Process("orchestrator", broker, Disk(), start)
