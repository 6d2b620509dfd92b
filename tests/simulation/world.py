"""One simulated world: orchestrators, three services, customers and vandals, under one seed."""

from __future__ import annotations

import asyncio
import json
import random  # noqa: TID251 -- for its type only: chance is handed in
from dataclasses import dataclass, field

from messaging.records import Message
from orchestrator.engine.worker import Engine
from orchestrator.registry import Registry
from orchestrator.sagas.order import order_saga
from orchestrator.store.sqlite import SqliteStore
from participants.faults import Faults
from participants.services import SERVICES, Seed, SeedAccount
from participants.store.sqlite import SqliteStore as ParticipantStore
from participants.worker import Worker
from schemas.topics import TopicNames
from tests.simulation.broker import SimBroker, SimConsumer, SimProducer
from tests.simulation.chance import Swarm, draw
from tests.simulation.processes import Disk, Incarnation, Process, SimConnection, task_of_its_process
from tests.simulation.virtual_time import SimClock, VirtualTimeLoop

HEAL_BUDGET_MS = 1_800_000
"""After the faults stop, everything must have ended within half an hour of virtual time."""

QUIET_MS = 120_000
"""Then late copies and late replies may still come: two minutes in which nothing may change any more."""

SEED_DATA = Seed(
    stock={"book": 1_000_000, "rare": 5},
    accounts=[
        SeedAccount(customer_id="alice", currency="EUR", balance=100_000_000),
        SeedAccount(customer_id="poor", currency="EUR", balance=500),
    ],
)


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
    processes: list[Process] = field(default_factory=list)
    orders: dict[str, bytes] = field(default_factory=dict)
    poison: int = 0
    conflicts: int = 0
    forged: int = 0
    ended_at_ms: int = 0
    liveness: list[str] = field(default_factory=list)

    @property
    def crashes(self) -> list[str]:
        return [point for process in self.processes for point in process.crashes]


def simulate(seed: int) -> World:
    """Run one seed to its end; the world as it is then."""
    loop = VirtualTimeLoop()
    loop.set_task_factory(task_of_its_process)
    try:
        return loop.run_until_complete(_simulate(seed, loop))
    finally:
        loop.close()


async def _simulate(seed: int, loop: VirtualTimeLoop) -> World:
    chance, swarm = draw(seed)
    clock = SimClock(loop)
    world = World(seed, swarm, chance, clock, SimBroker(clock, chance, swarm))
    world.processes = [_orchestrator(world, number) for number in range(swarm.replicas)]
    world.processes += [_participant(world, name) for name in SERVICES]
    living = [asyncio.create_task(process.run(), name=process.role) for process in world.processes]
    outside = [asyncio.create_task(work, name="outside") for work in (_customers(world), _weather(world))]
    await asyncio.gather(*outside)
    await clock.sleep(max(0, swarm.fault_phase_ms - clock.monotonic_ms()))
    _heal(world)
    await _until_ended(world)
    await clock.sleep(QUIET_MS)
    for process in world.processes:
        process.stop()
    await asyncio.wait(living)
    world.ended_at_ms = clock.monotonic_ms()
    return world


def _orchestrator(world: World, number: int) -> Process:
    async def start(life: Incarnation) -> None:
        store = await SqliteStore.create(SimConnection(world.store, life), world.clock)
        names = world.topics
        read = [names.requests("order"), *(names.replies_of(service) for service in SERVICES)]
        engine = Engine(
            store=store,
            reader=SimConsumer(world.broker, read),
            sender=SimProducer(world.broker),
            registry=world.registry,
            topics=names,
            clock=world.clock,
            group=f"orchestrator-{number}",
            in_flight_max=world.swarm.in_flight_max,
        )
        await engine.run(life.lifecycle)

    return Process("orchestrator", world.broker, world.store, start)


def _participant(world: World, name: str) -> Process:
    async def start(life: Incarnation) -> None:
        connection = SimConnection(world.services[name], life)
        store = await ParticipantStore.on(connection, name=name)
        await SERVICES[name].prepare(connection, SEED_DATA)
        offsets = await store.offsets()
        consumer = SimConsumer(world.broker, [world.topics.commands(name)])
        await consumer.start(offsets)
        rules = world.swarm.handler_faults[name] if world.broker.faulty else {}
        worker = Worker(
            SERVICES[name].participant,
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
        await worker.run()

    return Process("participant", world.broker, world.services[name], start)


async def _customers(world: World) -> None:
    """Orders, some twice, some conflicting; poison; and replies that nobody sent."""
    swarm, chance, clock = world.swarm, world.chance, world.clock
    requests = world.topics.requests("order")
    for number in range(swarm.orders):
        await clock.sleep(chance.randint(0, max(1, 2 * swarm.spread_ms // swarm.orders)))
        order_id = f"o-{number}"
        body = _order(order_id, chance)
        world.orders[order_id] = body
        world.broker.append(Message(requests, order_id.encode(), body))
        if chance.random() < swarm.duplicate_requests:
            world.broker.append(Message(requests, order_id.encode(), body))
        if chance.random() < swarm.duplicate_requests / 2:
            world.conflicts += 1
            world.broker.append(Message(requests, order_id.encode(), _order(order_id, chance, amount=7)))
        if world.poison < swarm.poison:
            world.poison += 1
            world.broker.append(Message(requests, b"x", chance.choice([b"{", b"[]", b"null", b"\xff", b'{"a":1}'])))
        if world.forged < swarm.forged:
            world.forged += 1
            for delay_s in (0.01, 0.1, 0.5, 2, 6):  # one of them meets the step while it waits
                asyncio.get_running_loop().call_later(delay_s, world.broker.append, _forged(world, order_id))


def _order(order_id: str, chance: random.Random, amount: int = 0) -> bytes:
    sku = "rare" if chance.random() < 0.1 else "book"
    customer = "poor" if chance.random() < 0.1 else "alice"
    return json.dumps(
        {
            "order_id": order_id,
            "customer_id": customer,
            "items": [{"sku": "book", "quantity": 1}, {"sku": sku, "quantity": chance.randint(1, 3)}],
            "amount": amount or chance.randint(100, 900),
            "currency": "EUR",
        }
    ).encode()


def _forged(world: World, order_id: str) -> Message:
    """A reply of a service for another service's step, on its own topic: it must count for nothing (R11)."""
    headers = (
        ("ce_causationid", f"order/{order_id}/process_payment/forward/1".encode()),
        ("ce_sagaoutcome", world.chance.choice([b"success", b"failure", b"retry"])),
    )
    return Message(world.topics.replies_of("inventory"), order_id.encode(), b'{"charge_id": "forged"}', headers)


async def _weather(world: World) -> None:
    """Broker outages and clock jumps, spread over the fault phase."""
    swarm, chance, clock = world.swarm, world.chance, world.clock
    happenings = ["outage"] * swarm.outages + ["jump"] * swarm.clock_jumps
    chance.shuffle(happenings)
    for happening in happenings:
        await clock.sleep(chance.randint(0, swarm.fault_phase_ms // max(1, len(happenings))))
        if happening == "jump":
            clock.offset_ms += chance.choice([-3_600_000, -5_000, 5_000, 60_000])
        else:
            world.broker.up.clear()
            await clock.sleep(chance.randint(1_000, swarm.outage_ms_max))
            world.broker.up.set()


def _heal(world: World) -> None:
    """No more faults: chance stops, and every service is restarted without its fault rules."""
    world.broker.faulty = False
    world.broker.up.set()
    for process in world.processes:
        process.restart()


async def _until_ended(world: World) -> None:
    deadline = world.clock.monotonic_ms() + HEAL_BUDGET_MS
    while unfinished := _unfinished(world):
        if world.clock.monotonic_ms() > deadline:
            world.liveness.append(f"I21: not ended in time: {unfinished[:5]}")
            return
        await world.clock.sleep(1_000)


def _unfinished(world: World) -> list[str]:
    """Orders that are not in an end state, by the store's own rows."""
    rows = dict(world.store.connection.execute("SELECT saga_id, state FROM sagas").fetchall())
    return [order for order in world.orders if rows.get(order) not in ("COMPLETED", "COMPENSATED", "PARKED")]
