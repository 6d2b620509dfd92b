"""One simulated world: orchestrators, three services, customers, operators and vandals, under one seed."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- for its type only: chance is handed in
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from kafka_saga.messaging.claims import Claimant
from kafka_saga.orchestrator.engine.worker import Engine
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.participants.faults import Faults
from kafka_saga.participants.services import SERVICES, Seed, SeedAccount
from kafka_saga.participants.store.sqlite import SqliteStore as ParticipantStore
from kafka_saga.participants.worker import Worker
from kafka_saga.runtime.process import beside
from kafka_saga.runtime.sqlite import InlineConnection
from kafka_saga.schemas.topics import TopicNames
from tests.simulation import spoiling
from tests.simulation.broker import SimBroker
from tests.simulation.chance import Swarm, draw, draw_shared
from tests.simulation.clients import SimConsumer, SimProducer
from tests.simulation.customers import customers
from tests.simulation.group import SimGroup
from tests.simulation.operators import Operators
from tests.simulation.outside import CardProcessor, external_payment
from tests.simulation.processes import Disk, Incarnation, Process, SimConnection, task_of_its_process
from tests.simulation.replicas import Place, Server, WatchedTables, replica
from tests.simulation.restoring import restore
from tests.simulation.rivals import acted, adopt
from tests.simulation.virtual_time import SimClock, VirtualTimeLoop
from tests.simulation.weather import Weather

HEAL_BUDGET_MS = 1_800_000
"""After the faults stop, everything must have ended within half an hour of virtual time."""

QUIET_MS = 20_000
LATE_MS = 100_000
"""Then late copies and late replies may still come; in that time nothing may change any more."""

RESUMED_S_MAX = 240
"""Who carries out acts may be dead for two minutes; acts at the store of one who was ousted wait for ever."""

REPLAY_BUDGET_MS = 600_000
"""Reading everything again takes seconds; ten minutes mean that it does not end."""

SEED_DATA = Seed(
    stock={"book": 1_000_000, "rare": 5},
    accounts=[
        SeedAccount(customer_id="alice", currency="EUR", balance=100_000_000),
        SeedAccount(customer_id="poor", currency="EUR", balance=500),
    ],
)

TRACE = """
CREATE TEMP TABLE IF NOT EXISTS transitions (
  saga_id TEXT, was TEXT, now TEXT, was_version INTEGER, now_version INTEGER
);
CREATE TEMP TRIGGER IF NOT EXISTS trace AFTER UPDATE ON main.sagas BEGIN
  INSERT INTO transitions VALUES (new.saga_id, old.state, new.state, old.version, new.version);
END;
"""
"""The store's own record of each change of a saga, which no code of ours writes: for checkers."""


@dataclass
class World:
    """Everything that checkers look at."""

    seed: int
    swarm: Swarm
    chance: random.Random
    clock: SimClock
    broker: SimBroker
    registry: Registry = field(default_factory=lambda: Registry([order_saga]))
    topics: TopicNames = field(default_factory=TopicNames)
    store: Disk = field(default_factory=Disk)
    services: dict[str, Disk] = field(default_factory=lambda: {name: Disk() for name in SERVICES})
    rivals: dict[str, Disk] = field(default_factory=dict)
    """The second database of each owner, the orchestrator's too, where there are rivals; who acts is never in here."""
    places: list[Place] = field(default_factory=list)
    """The machines of the replicas, where there are any."""
    group: SimGroup | None = None
    processes: list[Process] = field(default_factory=list)
    orders: dict[str, bytes] = field(default_factory=dict)
    replayed: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """What the databases held before everything was read again; empty where it was not (I16)."""
    poison: int = 0
    conflicts: int = 0
    forged: int = 0
    ended_at_ms: int = 0
    restored_at_ms: int = 0
    """When a backup was put back, by the clock that never jumps; 0 where none was."""
    liveness: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = Server(self.broker)
        self.processor = CardProcessor(self.broker, SEED_DATA)
        self.lanes_off = random.Random(f"{self.seed} lanes").choice([0, 0, -1, 3])
        self.spoils = random.Random(f"{self.seed} spoiling")
        self.operators = Operators(self.broker, self.store.connection)
        self.offered = {**SERVICES, "payment": external_payment(self.processor)} if self.swarm.external else SERVICES

    @property
    def reached(self) -> Counter[str]:
        """How often each failpoint was passed."""
        return sum((process.reached for process in self.processes), Counter())

    @property
    def crashes(self) -> list[str]:
        return [point for process in self.processes for point in process.crashes]


def simulate(seed: int, *, shared: bool = False, **settings: Any) -> World:
    """Run one seed to its end; the world as it is then.

    Args:
        seed: decides everything, but for
        shared: whether the store is shared by replicas, and
        settings: fields of `Swarm` that are not left to chance.

    """
    chance, swarm = draw_shared(seed) if shared else draw(seed)
    return run(seed, chance, replace(swarm, **settings))


def scenario(seed: int = 1, **settings: Any) -> World:
    """A world without faults but for `settings`, fields of `Swarm`."""
    return run(seed, random.Random(seed), Swarm(**settings))


def run(seed: int, chance: random.Random, swarm: Swarm) -> World:
    """Run the world of `swarm` to its end."""
    loop = VirtualTimeLoop()
    loop.set_task_factory(task_of_its_process)
    unhandled: list[str] = []
    loop.set_exception_handler(lambda _loop, context: unhandled.append(f"{context.get('task')}: {context['message']}"))
    try:
        world = loop.run_until_complete(_simulate(seed, chance, swarm, loop))
        world.liveness += [f"I21: a task died, and nobody noticed: {what}" for what in unhandled]
        return world
    finally:
        loop.close()


async def _simulate(seed: int, chance: random.Random, swarm: Swarm, loop: VirtualTimeLoop) -> World:
    clock = SimClock(loop)
    world = World(seed, swarm, chance, clock, SimBroker(clock, chance, swarm))
    coordinator = await _share(world) if swarm.shared else None
    living = _begin(world)
    weather = Weather(world.broker, clock, world.topics, world.store.connection, world.processes)
    weather.server, weather.places = world.server, world.places
    await clock.sleep(1)  # the stores exist before anybody looks at them
    outside = (
        customers(world),
        weather.run(),
        world.operators.wander([f"o-{number}" for number in range(swarm.orders)]),
        *([restore(world)] if swarm.restore else []),
    )
    await asyncio.gather(*[asyncio.create_task(work, name="outside") for work in outside])
    await clock.sleep(max(0, swarm.fault_phase_ms - clock.monotonic_ms()))
    _heal(world)
    await _until_ended(world)
    await _until_resumed(world)
    quiet_ms = LATE_MS if swarm.late_copies or swarm.lose_message else QUIET_MS
    await clock.sleep(quiet_ms + max(swarm.restart_ms))  # whoever was dead is back by then
    await _end(world, living)
    _see_who_acts(world)  # who began to act after the sagas had ended, too
    if swarm.replay and not world.liveness:
        await _replay(world)
    if coordinator is not None:
        coordinator.cancel()
    world.ended_at_ms = clock.monotonic_ms()
    return world


async def _share(world: World) -> asyncio.Task[None]:
    """The server of a shared store, and the coordinator of the group that reads for it."""
    truth = await SqliteStore.create(InlineConnection(world.store.connection), world.clock)
    world.store.connection.executescript(TRACE)
    world.server.tables = WatchedTables(truth)
    topics = [world.topics.requests("order"), *(world.topics.replies_of(service) for service in SERVICES)]
    world.group = SimGroup(world.broker, topics, overlapping=world.swarm.overlapping)
    return asyncio.create_task(world.group.run(), name="coordinator")


def _begin(world: World) -> list[asyncio.Task[None]]:
    if world.swarm.shared:
        begun = [replica(world, number) for number in range(world.swarm.shared)]
    else:
        begun = [_orchestrator(world, number, world.store) for number in range(world.swarm.replicas)]
    begun += [_participant(world, name, world.services[name]) for name in SERVICES]
    world.processes += begun
    living = [asyncio.create_task(process.run(), name=process.role) for process in begun]
    if world.swarm.rival_after_ms is not None:
        living.append(asyncio.create_task(_rivals(world), name="rivals"))
    return living


async def _rivals(world: World) -> None:
    """The same processes once more, each with a database of its own."""
    assert world.swarm.rival_after_ms is not None
    await world.clock.sleep(world.swarm.rival_after_ms)
    for name in ("orchestrator", *SERVICES):
        world.rivals.setdefault(name, Disk())
    if world.swarm.adopted:
        await adopt(world.broker, world.rivals)
    begun = [_orchestrator(world, 0, world.rivals["orchestrator"])]
    begun += [_participant(world, name, world.rivals[name]) for name in SERVICES]
    world.processes += begun
    await asyncio.wait([asyncio.create_task(process.run(), name=process.role) for process in begun])


def _see_who_acts(world: World) -> None:
    """From then on the databases of those who act are the world's, and what checkers look at."""
    for name, rival in world.rivals.items():
        own = world.store if name == "orchestrator" else world.services[name]
        is_orchestrator = name == "orchestrator"
        if acted(own, orchestrator=is_orchestrator) or not acted(rival, orchestrator=is_orchestrator):
            continue
        world.rivals[name] = own
        if is_orchestrator:
            world.store = rival
        else:
            world.services[name] = rival


async def _end(world: World, living: list[asyncio.Task[None]]) -> None:
    for process in world.processes:
        process.stop()
    await asyncio.wait(living)


async def _replay(world: World) -> None:
    """Everything that the topics still hold is read again, from the beginning (I16)."""
    world.replayed = snapshot(world)
    world.store.connection.execute("DELETE FROM offsets")
    for disk in world.services.values():
        disk.connection.execute("DELETE FROM saga_offsets")
    living = _begin(world)
    deadline = world.clock.monotonic_ms() + REPLAY_BUDGET_MS
    await world.clock.sleep(5_000)
    while not _all_read(world):
        if world.clock.monotonic_ms() > deadline:
            world.liveness.append("I21: the topics were not read again in time")
            break
        await world.clock.sleep(1_000)
    await world.clock.sleep(5_000)
    await _end(world, living)


def snapshot(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that says what happened, by table; the saga's id stands in each."""
    store = world.store.connection
    found = {
        "sagas": store.execute("SELECT saga_id, * FROM sagas ORDER BY saga_id").fetchall(),
        "step_log": store.execute(
            "SELECT saga_id, step_log.* FROM step_log JOIN sagas USING (saga_key) ORDER BY saga_id, seq"
        ).fetchall(),
        "acts": store.execute("SELECT saga_id, * FROM acts ORDER BY act_seq").fetchall(),
    }
    for service, table in (("inventory", "reservations"), ("payment", "charges"), ("orders", "orders")):
        database = world.services[service].connection
        for name in (table, "saga_fence"):
            rows = database.execute(f"SELECT saga_id, * FROM {name} ORDER BY saga_id, step").fetchall()
            found[f"{service}.{name}"] = rows
    return found


def _all_read(world: World) -> bool:
    return not unread(world)


def unread(world: World) -> list[str]:
    """The partitions whose end is not what the store of their reader has."""
    replies = [world.topics.replies_of(service) for service in SERVICES]
    readers = [(world.store, "offsets", [world.topics.requests("order"), *replies])]
    readers += [(world.services[service], "saga_offsets", [world.topics.commands(service)]) for service in SERVICES]
    found: list[str] = []
    for disk, table, topics in readers:
        query = f"SELECT topic, partition, next FROM {table}"
        stored = {(topic, number): following for topic, number, following in disk.connection.execute(query)}
        for topic in topics:
            for number, log in enumerate(world.broker.partitions(topic)):
                at = stored.get((topic, number))
                if log.wanted > log.first if at is None else not log.wanted <= at <= log.end():
                    found.append(f"{topic}[{number}] was read to {at} of {log.end()}")
    return found


def _orchestrator(world: World, number: int, disk: Disk) -> Process:
    async def start(life: Incarnation) -> None:
        store = await SqliteStore.create(SimConnection(disk, life), world.clock)
        disk.connection.executescript(TRACE)
        names = world.topics
        read = [names.requests("order"), *(names.replies_of(service) for service in SERVICES)]
        group = f"orchestrator-{number}"
        reader = SimConsumer(world.broker, read, group, _claimant(world, store.store_id, "orchestrator"))
        engine = Engine(
            store=store,
            reader=reader,
            sender=SimProducer(world.broker),
            registry=world.registry,
            topics=names,
            clock=world.clock,
            group=group,
            chance=random.Random(f"{world.seed} rests of {number}").random,
            in_flight_max=world.swarm.in_flight_max,
        )
        await _watched(world, engine.run(life.lifecycle), reader)

    return Process("orchestrator", world.broker, disk, start)


def _claimant(world: World, store_id: str, name: str) -> Claimant | None:
    return None if world.swarm.rival_after_ms is None else Claimant(store_id, f"{name}.db", name)


async def _watched(world: World, work: Coroutine[Any, Any, None], consumer: SimConsumer) -> None:
    """As the composition roots do it, where there is a rival to look out for."""
    await (work if world.swarm.rival_after_ms is None else beside(work, consumer.claim.watch()))


def _participant(world: World, name: str, disk: Disk) -> Process:
    async def start(life: Incarnation) -> None:
        connection = SimConnection(disk, life)
        store = await ParticipantStore.on(connection, name=name)
        await world.offered[name].prepare(connection, SEED_DATA)
        await spoiling.prepare(connection)
        offsets = await store.offsets()
        claimant = _claimant(world, store.store_id, name)
        consumer = SimConsumer(world.broker, [world.topics.commands(name)], name, claimant)
        await consumer.start(offsets)
        rules = dict(dict(world.swarm.handler_faults).get(name, ())) if world.broker.faulty else {}
        if world.swarm.external and name == "payment":
            rules.pop("SAGA_FAULT_REJECT", None)  # "nothing was done": only the card processor itself knows that
        worker = Worker(
            spoiling.spoiling(world.offered[name].participant, world.broker, world.spoils),
            store=store,
            stored_offsets=offsets,
            newest_ms=await store.newest_ms(),
            consumer=consumer,
            producer=SimProducer(world.broker),
            topics=world.topics,
            group=name,
            clock=world.clock,
            lifecycle=life.lifecycle,
            faults=Faults.from_environment({**rules, "SAGA_ALLOW_FAULTS": "1"}),
        )
        await _watched(world, worker.run(), consumer)

    return Process("participant", world.broker, disk, start)


def _heal(world: World) -> None:
    """No more faults: chance stops, and every service is restarted without its fault rules."""
    world.broker.faulty = False
    world.broker.up.set()
    world.server.up = True
    for place in world.places:
        place.reaches_store = place.reaches_kafka = True
        place.thaw()
    for process in world.processes:
        # Replicas go on: what one of them has left behind is theirs to follow, and no new start's to find.
        if not world.swarm.shared or process.role != "orchestrator":
            process.restart()


async def _until_ended(world: World) -> None:
    deadline = world.clock.monotonic_ms() + HEAL_BUDGET_MS
    while unfinished := _unfinished(world):
        if world.clock.monotonic_ms() > deadline:
            world.liveness.append(f"I21: not ended in time: {unfinished[:5]}")
            return
        world.operators.resume_all()
        if world.swarm.unpark:
            world.operators.retry_parked()
        await world.clock.sleep(1_000)


async def _until_resumed(world: World) -> None:
    """Requests of a paused type are not read, and rightly so: lift what an act has paused, or is about to."""
    for _ in range(RESUMED_S_MAX):
        world.operators.resume_all()
        if world.operators.have_all_been_heard():
            return
        await world.clock.sleep(1_000)


def _unfinished(world: World) -> list[str]:
    """Orders that are not in an end state, by the store's own rows."""
    ends = {"COMPLETED", "COMPENSATED"} if world.swarm.unpark else {"COMPLETED", "COMPENSATED", "PARKED"}
    _see_who_acts(world)
    rows = dict(world.store.connection.execute("SELECT saga_id, state FROM sagas").fetchall())
    return [order for order in world.orders if rows.get(order) not in ends]
