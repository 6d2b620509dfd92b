"""One examination: the store is read, then Kafka, then both once more where something seems to stand still.

What is read of the store comes first: a position that is *behind* what Kafka says a moment later is an ordinary thing,
one beyond it is not. Nothing is changed, and nothing waits longer than the usual deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.errors import NotAllowedError
from kafka_saga.messaging.inspection import LATEST, BrokerTime, Inspection, PartitionState
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.machine.states import ACTIVE, SagaState
from kafka_saga.orchestrator.operations.checks import letters as dead
from kafka_saga.orchestrator.operations.checks import positions as places
from kafka_saga.orchestrator.operations.checks import services, work
from kafka_saga.orchestrator.operations.checks.broker import check_broker, judge_clock, judge_encryption
from kafka_saga.orchestrator.operations.checks.database import check_disks, check_file, check_store
from kafka_saga.orchestrator.operations.checks.finding import Finding
from kafka_saga.orchestrator.operations.checks.rights import hidden_from, judge_rights
from kafka_saga.orchestrator.operations.checks.service_database import Database, judge_database, read_database
from kafka_saga.orchestrator.operations.checks.topics import SETTINGS, Wanted, judge_topics
from kafka_saga.orchestrator.operations.checks.topology import Topology, read_topology, unread
from kafka_saga.orchestrator.operations.checks.workers import (
    group_of,
    is_in_use,
    make_reading,
    read_waiting,
)
from kafka_saga.orchestrator.operations.store.size import check_size
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import Vitals, read_offsets, read_vitals
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError, UnavailableError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.store_lock import StoreLock, deleted_files
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames

_UNDER_WAY = (*ACTIVE, SagaState.PENDING)

LOOK_AGAIN_MS = 2_500
"""Long enough for a batch, a commit hint and an idle engine's tidying of its outbox (a second); short for a person."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is examined, from the settings: where things are, and how they should be."""

    kafka: KafkaSettings
    names: TopicNames
    store: StoreLocation
    data_dir: Path
    group: str
    registry: Registry
    wanted: Wanted
    databases: Mapping[str, Path | PostgresUrl]
    """Of each service, where its database is said to be, or would be if it ran on this machine."""

    @property
    def requests(self) -> list[str]:
        """The topics that requests come on."""
        return [self.names.requests(saga_type) for saga_type in self.registry.saga_types]

    @property
    def replies(self) -> list[str]:
        """The topics that replies come on."""
        return [self.names.replies_of(service) for service in self.registry.services]

    @property
    def dead_letters(self) -> list[str]:
        """Where the dead letters of our topics are."""
        return [spec.name for spec in self.wanted.specs if spec.name.startswith(DEAD_LETTER_PREFIX)]


@dataclass(slots=True)
class _Seen:
    """What two looks saw; `None` and empty where it could not be asked."""

    runs: bool
    vitals: Vitals | None = None
    vitals_again: Vitals | None = None
    offsets_again: Mapping[TopicPartition, int] = field(default_factory=dict)
    waiting: Mapping[str, services.Waiting] = field(default_factory=dict)
    databases: Mapping[str, Database | None] = field(default_factory=dict)
    topology: Topology | None = None
    configs: Mapping[str, Mapping[str, str]] | None = None
    committed: Mapping[str, Mapping[TopicPartition, Committed]] = field(default_factory=dict)
    committed_again: Mapping[str, Mapping[TopicPartition, Committed]] = field(default_factory=dict)
    replied: frozenset[str] = frozenset()
    time: BrokerTime | None = None
    lacking: Sequence[NotAllowedError] = ()
    letters: dead.Letters = field(default_factory=dead.Letters)
    held_up: Mapping[str, Sequence[dead.Letter]] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    holding: Finding | None = None
    """What keeps overdue timers from firing, where replicas share the store."""
    young: Mapping[TopicPartition, int] | None = None
    behind: Mapping[TopicPartition, places.Behind] = field(default_factory=dict)
    """Where something may wait for a transaction to end; after the second look, where it does."""


async def examine(site: Site, clock: Clock, *, retention_ms: int | None, thorough: bool = False) -> list[Finding]:
    """Everything there is to find out about a system, the most basic first."""
    broker, embedded = await check_broker(site.kafka)
    findings = [found for found in (broker, judge_encryption(site.kafka)) if found is not None]
    seen = _Seen(runs=isinstance(site.store, Path) and StoreLock(site.store).holder() is not None)
    deleted = deleted_files()
    store, readable = await _store(site.store, site.registry, clock, deleted, thorough=thorough)
    if readable:
        findings += await _tried("store", _look_at_store(site, seen, clock))
    seen.databases = await _read_databases(site)
    if embedded is not None:
        findings += await _tried("broker", _look_at_kafka(site, seen, clock, embedded=embedded))
    findings += await _tried("second look", _look_again(site, seen, clock))
    now = clock.now_ms()
    clocks = judge_clock(seen.time, None if seen.vitals is None else seen.vitals.clock, now)
    if embedded is not None or clocks.verdict != "note":
        findings.append(clocks)
    if seen.topology is not None:
        findings += _judge_kafka(site, seen, seen.topology, now, embedded=bool(embedded))
    findings += store
    files = [path for path in site.databases.values() if isinstance(path, Path)]
    findings += [found for path in files if (found := check_file(path, "database", deleted)) is not None]
    findings += _judge_databases(site, seen)
    if seen.vitals is not None:
        findings += _judge_work(seen, seen.vitals, now, kafka_answers=embedded is not None)
    if readable:
        findings += await _tried("store size", check_size(site.store, now, retention_ms))
    return [*findings, *check_disks(site.data_dir, [*_files(site.store), *files])]


async def examine_without_definitions(
    kafka: KafkaSettings, store: StoreLocation, data_dir: Path, clock: Clock, retention_ms: int | None
) -> list[Finding]:
    """What can be found out where the definitions cannot be loaded."""
    broker, _embedded = await check_broker(kafka)
    findings = [broker]
    found, readable = await _store(store, None, clock, deleted_files(), thorough=False)
    findings += found
    if readable:
        findings += await _tried("store size", check_size(store, clock.now_ms(), retention_ms))
    return [*findings, *check_disks(data_dir, _files(store))]


def _files(store: StoreLocation) -> list[Path]:
    return [store] if isinstance(store, Path) else []


async def _store(
    at: StoreLocation,
    registry: Registry | None,
    clock: Clock,
    deleted: Mapping[Path, Sequence[int]],
    *,
    thorough: bool,
) -> tuple[list[Finding], bool]:
    try:
        if isinstance(at, Path):
            return await check_store(at, registry, deleted=deleted, thorough=thorough)
        from kafka_saga.orchestrator.operations.checks.server import check_server  # noqa: PLC0415 -- an extra

        return await check_server(at, registry, clock)
    except SagaError as error:
        return [_failed("store", error)], False


async def _read_databases(site: Site) -> dict[str, Database | None]:
    """All at once: a server that does not answer costs its ten seconds once."""
    found = await asyncio.gather(*(read_database(at, service) for service, at in site.databases.items()))
    return dict(zip(site.databases, found, strict=True))


def _judge_databases(site: Site, seen: _Seen) -> Iterable[Finding]:
    for service, database in seen.databases.items():
        if database is not None:
            topic, topology = site.names.commands(service), seen.topology
            behind = None if topology is None else unread(topology, topic, database.offsets)[0]
            yield judge_database(service, database, behind)


async def _look_at_store(site: Site, seen: _Seen, clock: Clock) -> list[Finding]:
    reader = await StoreReader.open(site.store)
    try:
        seen.runs = await reader.owners.now(clock) is not None
        seen.vitals = await read_vitals(reader, clock.now_ms() - work.OVERDUE_MS_MAX)
        seen.waiting = await read_waiting(reader, site.registry, seen.vitals.at_steps)
        counts = await reader.count_held()
        since = seen.vitals.overdue.since
        if since is not None and isinstance(site.store, PostgresLocation):
            from kafka_saga.orchestrator.operations.checks.server import what_holds_timers  # noqa: PLC0415 -- an extra

            seen.holding = await what_holds_timers(reader.tables, site.replies, since)
    finally:
        await reader.close()
    held: dict[str, int] = {}
    for (scope, _state), count in counts.items():
        held[scope] = held.get(scope, 0) + count
    seen.held = held
    return []


async def _look_at_kafka(site: Site, seen: _Seen, clock: Clock, *, embedded: bool) -> list[Finding]:
    inspection = Inspection(site.kafka, clock=clock)
    try:
        ours = [spec.name for spec in site.wanted.specs]
        seen.time = None if embedded else await inspection.time()
        topology = seen.topology = await read_topology(inspection, ours)
        there = [name for name in ours if name in topology.topics]
        await inspection.note_hidden([name for name in ours if name not in topology.topics])
        seen.configs = None if embedded else await inspection.effective_configs(there, SETTINGS) if there else {}
        seen.committed = await inspection.committed(_groups(site, topology))
        now = clock.now_ms()
        replies, read = _of(topology, site.replies), _of(topology, [*site.requests, *site.replies])
        seen.replied = frozenset(tp.topic for tp in await inspection.offsets(replies, now - services.REPLIED_MS))
        if not embedded:
            seen.young = await inspection.offsets(read, now - places.READ_AGE_MS_MAX)
            commands = [site.names.commands(service) for service in site.registry.services]
            whole = await inspection.offsets(read | _of(topology, commands), LATEST, whole=True)
            seen.behind = places.find_behind(topology.ends, whole)
        oldest = None if seen.vitals is None else seen.vitals.oldest_unfinished_at
        since = min(now - dead.DAY_MS, now if oldest is None else oldest)
        seen.letters = await dead.read_letters(
            site.kafka, inspection, topology, names=site.names, topics=site.dead_letters, since=since
        )
    finally:
        seen.lacking = tuple(inspection.lacking.values())
        await inspection.close()
    if seen.vitals is not None and seen.letters.read:
        reader = await StoreReader.open(site.store)
        try:
            seen.held_up = await dead.waiting_for(seen.letters, reader, site.registry)
        finally:
            await reader.close()
    return []


async def _look_again(site: Site, seen: _Seen, clock: Clock) -> list[Finding]:
    """Where something seems to stand still, wait a moment and see whether it does."""
    now = clock.now_ms()
    seen.vitals_again = seen.vitals
    topology = seen.topology or Topology()
    late = [service for service in site.registry.services if _reading(site, seen, service).deserves_second_look(now)]
    unread = _lag(seen, [*site.requests, *site.replies]).aged
    stands = seen.vitals is not None and work.deserves_second_look(seen.vitals, now)
    if not (late or unread or stands or seen.behind):
        return []
    await clock.sleep(LOOK_AGAIN_MS)
    if seen.vitals is not None:
        reader = await StoreReader.open(site.store)
        try:
            seen.offsets_again = await read_offsets(reader)
            if stands:
                seen.vitals_again = await read_vitals(reader, now - work.OVERDUE_MS_MAX)
        finally:
            await reader.close()
    if late or seen.behind:
        inspection = Inspection(site.kafka, clock=clock)
        try:
            groups = _groups(site, topology)
            wanted = {group_of(service, site.names) for service in late}
            seen.committed_again = await inspection.committed({group: groups[group] for group in wanted})
            replies = {site.names.replies_of(service) for service in late}
            ends = (await read_topology(inspection, replies | {tp.topic for tp in seen.behind})).ends
        finally:
            await inspection.close()
        seen.behind = {tp: place for tp, place in seen.behind.items() if ends.get(tp) == place.stable}
        seen.replied |= {tp.topic for tp, end in ends.items() if end > topology.ends.get(tp, end)}
    return []


def _groups(site: Site, topology: Topology) -> dict[str, list[TopicPartition]]:
    """The consumer groups and what they read, where that exists."""
    groups = {
        group_of(service, site.names): topology.partitions(site.names.commands(service))
        for service in site.registry.services
    }
    groups[site.group] = [tp for topic in [*site.requests, *site.replies] for tp in topology.partitions(topic)]
    return {group: partitions for group, partitions in groups.items() if partitions}


def _of(topology: Topology, topics: Iterable[str]) -> dict[str, tuple[PartitionState, ...]]:
    return {name: topology.topics[name] for name in topics if name in topology.topics}


def _lag(seen: _Seen, topics: Sequence[str]) -> places.Lag:
    if seen.vitals is None or seen.topology is None:
        return places.Lag()
    return places.measure_lag(topics, seen.vitals.offsets, seen.topology, seen.young)


def _moves(seen: _Seen, lag: places.Lag) -> bool:
    before = {} if seen.vitals is None else seen.vitals.offsets
    return bool(seen.offsets_again) and any(seen.offsets_again.get(tp) != before.get(tp) for tp in lag.aged)


def _reading(site: Site, seen: _Seen, service: str) -> services.Reading:
    group = group_of(service, site.names)
    pauses = {} if seen.vitals is None else seen.vitals.pauses
    return make_reading(
        service,
        site.names,
        seen.topology or Topology(),
        committed=seen.committed.get(group, {}),
        again=seen.committed_again.get(group, {}),
        database=seen.databases.get(service),
        waiting=seen.waiting.get(service),
        replied=site.names.replies_of(service) in seen.replied,
        paused=f"service:{service}" in pauses,
    )


def _judge_kafka(site: Site, seen: _Seen, topology: Topology, now: int, *, embedded: bool) -> Iterable[Finding]:
    vitals = seen.vitals
    yield from judge_rights(seen.lacking)
    yield from judge_topics(site.wanted, topology.topics, seen.configs, hidden_from(seen.lacking))
    if vitals is not None or isinstance(site.store, Path):  # a server that does not answer does not say whose it is
        yield places.judge_group(
            site.group, seen.committed.get(site.group, {}), None if vitals is None else vitals.store_id
        )
    if vitals is not None:
        read = [*site.requests, *site.replies]
        yield from places.judge_positions("the orchestrator", read, vitals.offsets, topology, embedded=embedded)
        yield from places.judge_losses(vitals.losses, now, embedded=embedded)
        requests, replies = _lag(seen, site.requests), _lag(seen, site.replies)
        may_wait = any(vitals.states.get(state) for state in _UNDER_WAY) or any(
            scope.startswith("type:") for scope in vitals.pauses
        )
        yield places.judge_requests(requests, moves=_moves(seen, requests), may_wait=may_wait, runs=seen.runs)
        yield places.judge_replies(replies, moves=_moves(seen, replies), runs=seen.runs)
    yield from places.judge_behind(seen.behind, site.replies)
    for service in site.registry.services:
        topic = site.names.commands(service)
        committed, database = seen.committed.get(group_of(service, site.names), {}), seen.databases.get(service)
        mine = database is not None and is_in_use(database, committed)
        offsets = database.offsets if database is not None and mine else {tp: at.offset for tp, at in committed.items()}
        yield from places.judge_positions(service, [topic], offsets, topology, embedded=embedded)
        if topic in topology.topics:
            yield services.judge_service(_reading(site, seen, service), now, runs=seen.runs)
    yield from dead.judge_letters(seen.letters, seen.held_up)


def _judge_work(seen: _Seen, vitals: Vitals, now: int, *, kafka_answers: bool) -> Iterable[Finding]:
    again = seen.vitals_again or vitals
    topology = seen.topology
    closed = {} if topology is None else topology.closed(seen.configs, [topic for topic, _ in again.outbox.topics])
    yield work.judge_outbox(vitals, again, now, runs=seen.runs, closed=closed, kafka_answers=kafka_answers)
    yield from work.judge_sagas(vitals, runs=seen.runs)
    yield work.judge_timers(vitals, again, now, runs=seen.runs)
    if seen.holding is not None and again.overdue.since is not None:
        yield seen.holding
    yield from work.judge_acts(vitals, now, runs=seen.runs)
    yield from work.judge_pauses(vitals, seen.held)


async def _tried(check: str, looking: Awaitable[list[Finding]]) -> list[Finding]:
    """One check's findings; a check that cannot be made is a finding too, and the others go on."""
    try:
        return await looking
    except SagaError as error:
        return [_failed(check, error)]


def _failed(check: str, error: SagaError) -> Finding:
    return Finding(
        "unreachable" if isinstance(error, UnavailableError) else "wrong", check, "it cannot be checked", str(error)
    )
