"""What is known of the services: their databases where those can be read, their groups, who waits for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from kafka_saga.messaging.claims import store_named
from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.checks.service_database import Database
from kafka_saga.orchestrator.operations.checks.services import Reading, Waiting, Worker
from kafka_saga.orchestrator.operations.checks.topology import Topology, positions_of, unread
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import AtStep, read_saga_at, waits_since
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.topics import TopicNames


def is_in_use(database: Database, committed: Mapping[TopicPartition, Committed]) -> bool:
    """Whether this database is the one that the group was last committed with, as far as is known."""
    named = {store_named(commit.metadata) for commit in committed.values()} - {""}
    return not named or database.store_id in named


def make_reading(
    service: str,
    names: TopicNames,
    topology: Topology,
    *,
    committed: Mapping[TopicPartition, Committed],
    again: Mapping[TopicPartition, Committed],
    database: Database | None,
    waiting: Waiting | None,
    replied: bool,
    paused: bool,
) -> Reading:
    """How a service reads its commands, from what was seen of it at two looks."""
    topic, worker = names.commands(service), Worker()
    positions = positions_of(again or committed)
    if database is not None and is_in_use(database, committed) and (committed or not replied):
        # A commit is a hint that may be lost (R22); the database's own offsets are not.
        positions |= {tp: max(at, positions.get(tp, 0)) for tp, at in database.offsets.items() if tp.topic == topic}
        worker = Worker("none", str(database.at)) if database.owner is None else Worker("runs", database.owner)
    return Reading(
        service=service,
        topic=topic,
        group=group_of(service, names),
        commands=topology.records([topic]),
        unread=unread(topology, topic, positions)[0] if positions else None,
        moved=bool(again) and positions_of(again) != positions_of(committed),
        replied=replied,
        paused=paused,
        worker=worker,
        waiting=waiting,
    )


def group_of(service: str, names: TopicNames) -> str:
    """The consumer group of our own participants."""
    return f"{names.prefix}{service}"


async def read_waiting(reader: StoreReader, registry: Registry, at_steps: Collection[AtStep]) -> dict[str, Waiting]:
    """Which sagas wait for each service; the oldest of those that are not parked stands for them all."""
    found: dict[str, Waiting] = {}
    for place in at_steps:
        definition, saga = registry.get(place.saga_type, place.version), await read_saga_at(reader, place.first)
        if definition is None or saga is None or saga.active_index is None:
            continue
        step = definition.steps[saga.active_index]
        undoing = SagaState.COMPENSATING in {saga.state, None if saga.parked is None else saga.parked.from_state}
        timeout_ms = step.policy(Phase.COMPENSATE if undoing else Phase.FORWARD).timeout_ms
        since, parked = await waits_since(reader, saga, step.name), saga.state is SagaState.PARKED
        one = Waiting(place.number, saga.ref.saga_id, since, timeout_ms, parked)
        known = found.get(step.service)
        found[step.service] = one if known is None else _both(known, one)
    return found


def _both(one: Waiting, other: Waiting) -> Waiting:
    first = min(one, other, key=lambda waiting: (waiting.parked, waiting.since))
    return replace(first, count=one.count + other.count)
