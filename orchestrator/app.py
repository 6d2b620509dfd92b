"""The composition root: the only file of the orchestrator that picks Kafka and SQLite."""

from __future__ import annotations

from contextlib import AsyncExitStack

from kafka_saga.messaging.arrival import wait_for_broker
from kafka_saga.messaging.claims import Claimant
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.skew import watch_skew
from kafka_saga.messaging.topics import TopicSpec, create_topics, describe
from kafka_saga.orchestrator.config import DAY_MS, Settings
from kafka_saga.orchestrator.engine.upkeep import Retention
from kafka_saga.orchestrator.engine.worker import Engine
from kafka_saga.orchestrator.operations.marks import marks_topic
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import RefusedError
from kafka_saga.runtime.process import Lifecycle, beside
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

_log = log("app")

TOPIC_CONFIG = {"cleanup.policy": "delete"}
"""Compaction by saga id would eat a saga's earlier commands."""


def registry_of(settings: Settings) -> Registry:
    """The definitions that the settings name.

    Raises:
        ConfigError, DefinitionError: a module or a definition is wrong.

    """
    return Registry(load_definitions(settings.app), settings.active)


def topics_read(registry: Registry, topics: TopicNames) -> list[str]:
    """What the orchestrator reads: requests and replies."""
    read = [topics.requests(saga_type) for saga_type in registry.saga_types]
    return read + [topics.replies_of(service) for service in registry.services]


def topic_specs(registry: Registry, topics: TopicNames, partitions: int) -> list[TopicSpec]:
    """Every topic that the registered sagas need, dead letters and what became of them included."""
    read = topics_read(registry, topics)
    written = [topics.events(saga_type) for saga_type in registry.saga_types]
    commands = [topics.commands(service) for service in registry.services]
    # Events have none: one that cannot be told is a line in the log, and nobody waits for it.
    dead = [dead_letter_topic(topic) for topic in read + commands]
    specs = [TopicSpec(name, partitions, TOPIC_CONFIG) for name in [*read, *commands, *written, *dead]]
    return [*specs, marks_topic(topics)]


async def run_orchestrator(lifecycle: Lifecycle, settings: Settings) -> None:
    """Advance sagas until `lifecycle` says stop. Where Kafka is away, first wait for it (`broker_wait_ms`).

    Raises:
        SagaError: what keeps it from starting, in one sentence; or what its tasks died of.

    """
    clock = SystemClock()
    registry = registry_of(settings)
    async with AsyncExitStack() as stack:
        store = await open_store(settings.store_path, clock)
        stack.push_async_callback(store.close)
        wait_ms = settings.broker_wait_ms
        if not await wait_for_broker(settings.kafka, stopping=lifecycle.stopping, wait_ms=wait_ms, clock=clock):
            return
        if settings.create_topics:
            await ensure_topics(settings, registry)
        producer = Producer(settings.kafka, clock=clock)
        stack.push_async_callback(producer.stop)
        topics = settings.topics
        read = topics_read(registry, topics)
        claimant = Claimant(store.store_id, str(settings.store_path), "orchestrator")
        consumer = Consumer(settings.kafka, read, group=settings.group_name, claimant=claimant, clock=clock)
        stack.push_async_callback(consumer.stop)
        engine = Engine(
            store=store,
            reader=consumer,
            sender=producer,
            registry=registry,
            topics=topics,
            clock=clock,
            group=settings.group_name,
            in_flight_max=settings.in_flight_max,
            park_missing=settings.park_missing,
            retention=await retention_of(settings, registry),
        )
        stack.callback(lifecycle.spawn(watch_skew(settings.kafka, clock), "clock").cancel)
        await beside(engine.run(lifecycle), consumer.claim.watch(), store.watch(clock))


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
