"""The composition root: the only file of the orchestrator that picks Kafka, and SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from socket import socket
from typing import TYPE_CHECKING, Any

from kafka_saga.messaging.arrival import wait_for_broker, wait_for_group
from kafka_saga.messaging.claims import Claimant
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.group_consumer import GroupConsumer
from kafka_saga.messaging.lag import Lag
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.readiness import look_at_group
from kafka_saga.messaging.sent_traces import trace_polls, traced_sender
from kafka_saga.messaging.skew import watch_skew
from kafka_saga.messaging.topics import create_topics, describe
from kafka_saga.orchestrator.config import DAY_MS, Settings
from kafka_saga.orchestrator.engine.handover import Handover
from kafka_saga.orchestrator.engine.meters import EngineMeters
from kafka_saga.orchestrator.engine.ownership import Owning, SoleOwner
from kafka_saga.orchestrator.engine.replica import sharing
from kafka_saga.orchestrator.engine.showing import ActiveSagas, Showing
from kafka_saga.orchestrator.engine.upkeep import Retention
from kafka_saga.orchestrator.engine.worker import Engine
from kafka_saga.orchestrator.http.settings import HttpSettings, read_listen_address
from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs, topics_read
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining
from kafka_saga.orchestrator.store.sight import Sight
from kafka_saga.orchestrator.store.sqlite import SqliteStore, open_store
from kafka_saga.runtime.clock import Clock, SystemClock, chance
from kafka_saga.runtime.errors import RefusedError, UsageError
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.process import Lifecycle, beside
from kafka_saga.runtime.showing import Shown, shown
from kafka_saga.runtime.telemetry import log
from kafka_saga.runtime.tracers import tracer
from kafka_saga.schemas.codec import encode

if TYPE_CHECKING:
    from kafka_saga.orchestrator.engine.spans import EngineSpans
    from kafka_saga.orchestrator.store.postgres.store import PostgresStore
    from kafka_saga.orchestrator.web import Served

_log = log("app")


def registry_of(settings: Settings) -> Registry:
    """The definitions that the settings name.

    Raises:
        ConfigError, DefinitionError: a module or a definition is wrong.

    """
    return Registry(load_definitions(settings.app), settings.active)


def sight_of(settings: Settings) -> Sight:
    """What people are shown of the store's sagas. Where no definition can be loaded, nothing of their data."""
    try:
        return Masks(registry_of(settings))
    except UsageError:
        return Masks(())


async def run_orchestrator(lifecycle: Lifecycle, settings: Settings) -> None:
    """Advance sagas until `lifecycle` says stop. Where Kafka is away, first wait for it (`broker_wait_ms`).

    Raises:
        SagaError: what keeps it from starting, in one sentence; or what its tasks died of.

    """
    clock = SystemClock()
    registry = registry_of(settings)
    async with AsyncExitStack() as stack:
        listening = None if settings.http.listen is None else stack.enter_context(_take_port(settings.http))
        of_us = await stack.enter_async_context(
            shown(settings.admin_at, lifecycle, "orchestrator", clock, name=_note_name(settings))
        )
        served = None if listening is None else await stack.enter_async_context(_served(listening, lifecycle, of_us))
        store = await _open_store(settings, lifecycle, clock)
        stack.push_async_callback(store.close)
        if served is not None:
            await stack.enter_async_context(_showing(served, settings, registry, clock))
        wait_ms = settings.broker_wait_ms
        if not await wait_for_broker(settings.kafka, stopping=lifecycle.stopping, wait_ms=wait_ms, clock=clock):
            return
        if settings.create_topics:
            await ensure_topics(settings, registry)
        group, reads = settings.group_name, topics_read(registry, settings.topics)
        if not await wait_for_group(
            settings.kafka, group, reads, stopping=lifecycle.stopping, wait_ms=wait_ms, clock=clock
        ):
            return
        producer = Producer(settings.kafka, clock=clock)
        stack.push_async_callback(producer.stop)
        consumer, owning, watches = _reading(store, settings, registry, clock)
        stack.push_async_callback(consumer.stop)
        engine = Engine(
            store=store,
            reader=consumer,
            sender=traced_sender(producer),
            registry=registry,
            topics=settings.topics,
            clock=clock,
            group=settings.group_name,
            chance=chance,
            in_flight_max=settings.in_flight_max,
            park_missing=settings.park_missing,
            retention=await retention_of(settings, registry),
            owning=owning,
            meters=(meters := EngineMeters(_spans(settings, registry, consumer, clock))),
            on_ready=of_us.health.started,
        )
        of_us.metrics.add(meters.families)
        _show(stack, of_us, engine, consumer, settings, registry, clock)
        stack.callback(lifecycle.spawn(watch_skew(settings.kafka, clock), "clock").cancel)
        await beside(engine.run(lifecycle), *watches)


def _take_port(http: HttpSettings) -> socket:
    require("dashboard", "--http")
    from kafka_saga.orchestrator import web  # noqa: PLC0415 -- half a second, for who serves something

    assert http.listen is not None
    return web.take_port(read_listen_address(http.listen), http)


@asynccontextmanager
async def _served(listening: socket, lifecycle: Lifecycle, of_us: Shown) -> AsyncIterator[Served]:
    """Who answers on the port, from before the store is opened until it is closed."""
    from kafka_saga.orchestrator import web  # noqa: PLC0415 -- the same

    async with web.open_front(listening, of_us.admin, lifecycle.stopping) as served:
        watching = lifecycle.spawn(served.outlive(), "http")
        try:
            yield served
        finally:
            watching.cancel()


def _showing(served: Served, settings: Settings, registry: Registry, clock: Clock) -> AbstractAsyncContextManager[None]:
    """Dashboard and API, from before Kafka is there until the last batch is published."""
    from kafka_saga.orchestrator import web  # noqa: PLC0415 -- the same

    return web.open_web(settings, registry, served, clock)


def _spans(settings: Settings, registry: Registry, consumer: Consumer, clock: Clock) -> EngineSpans | None:
    """Who makes traces; nobody, where nobody collects them."""
    found = tracer()
    if found is None:
        return None
    from kafka_saga.orchestrator.engine.spans import EngineSpans  # noqa: PLC0415 -- only for who collects

    trace_polls(consumer, settings.group_name, clock)
    return EngineSpans(found, registry, settings.group_name, clock)


def _note_name(settings: Settings) -> str:
    """Replicas may share a data directory; the owner of a file is alone."""
    alone = not isinstance(settings.store_at, PostgresLocation)
    return "orchestrator" if alone else f"orchestrator.{settings.replica_name}"


def _show(  # noqa: PLR0917 -- all that is looked at
    stack: AsyncExitStack,
    of_us: Shown,
    engine: Engine,
    consumer: Consumer,
    settings: Settings,
    registry: Registry,
    clock: Clock,
) -> None:
    """Let probes and scrapers see this engine."""
    showing = Showing(engine, clock)
    active, lag = ActiveSagas(settings.store_at, registry.saga_types, clock), Lag(settings.kafka, clock, consumer)
    stack.push_async_callback(active.close)
    stack.push_async_callback(lag.close)
    of_us.health.add("store", showing.look_at_store)
    of_us.health.add("group", lambda: look_at_group(consumer))
    of_us.health.add("outbox", showing.look_at_outbox)
    of_us.metrics.add(showing.families)
    of_us.metrics.add(lag.families, lag.read)
    of_us.metrics.add(lambda: showing.of_store(active), lambda: showing.read(active))


async def _open_store(settings: Settings, lifecycle: Lifecycle, clock: Clock) -> SqliteStore | PostgresStore:
    at = settings.store_at
    if not isinstance(at, PostgresLocation):
        return await open_store(at, clock)
    from kafka_saga.orchestrator.store.postgres import store  # noqa: PLC0415 -- the driver is an extra

    return await store.open_store(at, clock, stopping=lifecycle.stopping)


def _reading(
    store: SqliteStore | PostgresStore, settings: Settings, registry: Registry, clock: Clock
) -> tuple[Consumer, Owning, list[Coroutine[Any, Any, None]]]:
    """Who reads for the store, how its owner stands to it, and what must look on while it works."""
    read = topics_read(registry, settings.topics)
    claimant = Claimant(store.store_id, str(settings.store_at), "orchestrator")
    group = settings.group_name
    if isinstance(store, SqliteStore):
        consumer = Consumer(settings.kafka, read, group=group, claimant=claimant, clock=clock)
        return consumer, SoleOwner, [consumer.claim.watch(), store.watch(clock)]
    handover, name = Handover(), settings.replica_name
    member = GroupConsumer(
        settings.kafka, read, group=group, member=name, owner=handover, claimant=claimant, clock=clock
    )
    definitions = encode([list(definition.key) for definition in registry]).decode()
    joining = Joining(name, version("kafka-saga"), definitions, settings.in_flight_max, settings.partitions)
    return member, sharing(store.members, member, handover, joining), []


async def retention_of(settings: Settings, registry: Registry) -> Retention:
    """For how long what has ended is kept: identities at least as long as the topics keep requests (R29)."""
    sagas_ms = settings.retention_days * DAY_MS or None
    identities_ms = settings.purged_retention_days * DAY_MS or None
    for topic in await describe(settings.kafka, [settings.topics.requests(name) for name in registry.saga_types]):
        kept_ms = (topic.config or {}).get("retention.ms")
        if identities_ms is not None and kept_ms is not None and not 0 <= int(kept_ms) <= identities_ms:
            _log.warning("purged.remembered_longer", topic=topic.name, retention_ms=int(kept_ms), why="R29")
            identities_ms = int(kept_ms) if int(kept_ms) > 0 else None
    return Retention(sagas_ms, identities_ms)


async def ensure_topics(settings: Settings, registry: Registry) -> None:
    """Create what is missing, so that a first start needs no administrator.

    Raises:
        RefusedError: the broker does not let us; the message names the topics.

    """
    reports = await create_topics(settings.kafka, topic_specs(registry, settings.topics, settings.partitions))
    refused = [report for report in reports if report.outcome == "refused"]
    if refused:
        names = ", ".join(report.name for report in refused)
        raise RefusedError(
            f"cannot create {names}: {refused[0].detail}; have them created (`saga topics create` lists them), "
            "then set create_topics = false"
        )
    created = [report.name for report in reports if report.outcome == "created"]
    if created:
        _log.info("topics.created", topics=created, partitions=settings.partitions)
