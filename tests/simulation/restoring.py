"""A backup is made in the middle of the work and put back later, by the product's own code (R59)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.new_life import begin_anew
from kafka_saga.orchestrator.operations.kafka.told_errors import error_told
from kafka_saga.orchestrator.operations.store.restoring import Ends, new_life, topics_of
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.orchestrator.store.tables import SqliteTables
from kafka_saga.participants.services import SERVICES
from kafka_saga.participants.store.restoring import move_to
from kafka_saga.participants.store.sqlite import SqliteStore as ParticipantStore
from kafka_saga.runtime.sqlite import InlineConnection
from tests.simulation.processes import Disk

if TYPE_CHECKING:
    from tests.simulation.world import World


async def restore(world: World) -> None:
    """Back up, work on, kill who is to be restored, put the backup back, and let them live again."""
    clock, chosen = world.clock, world.swarm.restore
    half_ms = world.swarm.fault_phase_ms // 4
    await clock.sleep(world.chance.randint(half_ms // 4, half_ms))
    for disk in (world.store, *world.services.values()):
        while disk.connection.in_transaction:  # a cut holds every write lock for a moment
            await clock.sleep(1)
    images = {name: disk.image() for name, disk in _disks(world).items()}
    await clock.sleep(world.chance.randint(half_ms // 2, 2 * half_ms))
    owners = list(images) if chosen == "all" else [chosen]
    killed = [process for process in world.processes if any(process.disk is _disks(world)[one] for one in owners)]
    for process in killed:
        process.kill()
    await clock.sleep(5_000)  # what they had sent has arrived, or never will
    while "orchestrator" in owners and not _all_handled(world, [name for name in SERVICES if name not in owners]):
        await clock.sleep(500)
    world.store.connection.executescript("DROP TRIGGER IF EXISTS temp.trace; DROP TABLE IF EXISTS temp.transitions;")
    for owner in owners:
        _disks(world)[owner].put_back(images[owner])
    await _begin_lives(world, owners)
    world.restored_at_ms = clock.monotonic_ms()
    for process in killed:
        process.revive()
    world.broker.happened.append(f"restore {chosen}")


def _disks(world: World) -> dict[str, Disk]:
    return {"orchestrator": world.store, **world.services}


async def _begin_lives(world: World, owners: list[str]) -> None:
    if "orchestrator" not in owners:
        return
    ends = _ends(world)
    now = world.clock.now_ms()
    services = [owner for owner in owners if owner in SERVICES]
    for name in services:
        store = await ParticipantStore.on(InlineConnection(world.services[name].connection), name=name)
        await move_to(store, ends.of(world.topics.commands(name)), now)
    told = [error_told(record, "order") for record in world.broker.history[world.topics.events("order")]]
    connection = InlineConnection(world.store.connection)
    begins = new_life(
        world.registry,
        world.topics,
        ends,
        restored=set(services),
        earlier=0,
        errors=dict(one for one in told if one is not None),
        now=now,
    )
    store = await SqliteStore.create(connection, world.clock)
    await begin_anew(store, SqliteTables(connection), begins, world.registry, world.topics)


def _all_handled(world: World, services: list[str]) -> bool:
    """Whether these services have handled every command of before, as `saga restore` waits for."""
    for name in services:
        query = "SELECT partition, next FROM saga_offsets WHERE topic = ?"
        topic = world.topics.commands(name)
        done = dict(world.services[name].connection.execute(query, (topic,)).fetchall())
        if any(
            log.records and done.get(number) != log.end() for number, log in enumerate(world.broker.partitions(topic))
        ):
            return False
    return True


def _ends(world: World) -> Ends:
    logs = {
        TopicPartition(topic, number): log
        for topic in topics_of(world.registry, world.topics)
        for number, log in enumerate(world.broker.partitions(topic))
    }
    return Ends({tp: log.first for tp, log in logs.items()}, {tp: log.end() for tp, log in logs.items()})
