"""The composition root: a participant as a process. The only file here that picks Kafka and SQLite."""

from __future__ import annotations

from contextlib import AsyncExitStack, closing
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TypeVar

from kafka_saga.messaging.arrival import wait_for_broker
from kafka_saga.messaging.claims import Claimant
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.skew import watch_skew
from kafka_saga.messaging.topics import TopicSpec, create_topics, describe
from kafka_saga.participants.faults import Faults
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.store.port import ParticipantStore, Prepare
from kafka_saga.participants.store.sqlite import SqliteStore, open_store
from kafka_saga.participants.watchdog import Watchdog
from kafka_saga.participants.witness import Witness
from kafka_saga.participants.worker import Worker
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import ConfigError, DefinitionError, SagaError, UsageError
from kafka_saga.runtime.limits import FENCE_RETENTION_MS, HANDLER_TIMEOUT_MS
from kafka_saga.runtime.process import Lifecycle, beside
from kafka_saga.runtime.stacks import words_of
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

_log = log("participant")

_Client = TypeVar("_Client", Consumer, Producer)

PARTITIONS = 4
"""Of the topics that are created here: one worker reads them all, and fewer partitions make fuller batches."""

_TOPIC_CONFIG = {"cleanup.policy": "delete"}
"""Compaction by saga id would eat a saga's earlier commands."""


async def run_participant(
    lifecycle: Lifecycle,
    *,
    participant: Participant,
    kafka: KafkaSettings,
    topics: TopicNames,
    database: Path,
    faults: Faults | None = None,
    prepare: Prepare | None = None,
    creates_topics: bool = True,
    fence_retention_ms: int = FENCE_RETENTION_MS,
    handler_timeout_ms: int = HANDLER_TIMEOUT_MS,
    broker_wait_ms: int | None = None,
    clock: Clock | None = None,
) -> None:
    """Handle the commands of `participant` until `lifecycle` says stop.

    Args:
        lifecycle: this process's.
        participant: whose handlers run.
        kafka: how to reach Kafka.
        topics: how topics are called.
        database: the service's own SQLite file; the guard keeps its tables there too.
        faults: what goes wrong on purpose (`Faults.from_environment`).
        prepare: creates the service's tables where they are missing, and fills them; runs at every start.
        creates_topics: create the service's commands, replies and dead letter topics where they are missing.
        fence_retention_ms: for how long the fence remembers (R16); not below the command topic's retention.
        handler_timeout_ms: how long a handler may take, where neither it nor the participant says so.
        broker_wait_ms: for how long to wait for a Kafka that is away, in milliseconds; without end when not given.
        clock: the machine's when not given.

    Raises:
        StoreRefusedError: the database is in use, newer than this program, or not the one that was used before.
        ConfigError, UsageError: commands are kept for longer than the fence; `prepare` failed.
        UnavailableError: Kafka or the database does not answer.

    """
    clock, name, group = clock or SystemClock(), participant.name, f"{topics.prefix}{participant.name}"
    async with AsyncExitStack() as stack:
        store = await _own_store(stack, lock := StoreLock(database), prepare, name, clock)
        if not await wait_for_broker(kafka, stopping=lifecycle.stopping, wait_ms=broker_wait_ms, clock=clock):
            return
        await _check_topics(kafka, topics, name, fence_retention_ms, create=creates_topics)
        witness = stack.enter_context(closing(Witness(database)))
        offsets = await store.offsets()
        claimant, reads = Claimant(store.store_id, str(database), name), [topics.commands(name)]
        consumer = _stopping(stack, Consumer(kafka, reads, group=group, claimant=claimant, clock=clock))
        await consumer.start(offsets)
        stack.enter_context(Watchdog(clock, handler_timeout_ms=handler_timeout_ms))
        stack.callback(lifecycle.spawn(watch_skew(kafka, clock), "clock").cancel)
        worker = Worker(
            participant,
            store=store,
            stored_offsets=offsets,
            newest_ms=await store.newest_ms(),
            consumer=consumer,
            producer=_stopping(stack, Producer(kafka, clock=clock)),
            topics=topics,
            group=group,
            clock=clock,
            lifecycle=lifecycle,
            faults=faults,
            handler_timeout_ms=handler_timeout_ms,
            fence_retention_ms=fence_retention_ms,
            witness=witness,
        )
        _say_ready(faults, service=name, commands=topics.commands(name), database=str(database), group=group)
        await beside(worker.run(), consumer.claim.watch(), lock.watch(clock))
        witness.forgive()
    _log.info("participant.stopped", service=name)


def _stopping(stack: AsyncExitStack, client: _Client) -> _Client:
    """`client`, which is stopped when `stack` is unwound."""
    stack.push_async_callback(client.stop)
    return client


def _say_ready(faults: Faults | None, *, service: str, **details: str) -> None:
    if faults is not None and faults.rules:
        rules = [rule.model_dump(mode="json") for rule in faults.rules]
        _log.warning("participant.faults", service=service, rules=rules)
    _log.info("participant.ready", service=service, **details)


async def _prepare(prepare: Prepare, store: ParticipantStore, name: str) -> None:
    """Run the user's `prepare`; what it raises is one line, after its own stack in the log."""
    if not iscoroutinefunction(prepare):
        raise DefinitionError(f"prepare of {name} must be `async def prepare(connection: SqlConnection) -> None`")
    try:
        await prepare(store.connection)
    except SagaError:
        raise
    except Exception as error:
        own = error.__traceback__
        _log.error("participant.prepare_failed", service=name, exc_info=error.with_traceback(own and own.tb_next))
        raise UsageError(f"prepare of {name} failed: {type(error).__name__}: {words_of(error)}") from error


async def _own_store(
    stack: AsyncExitStack, lock: StoreLock, prepare: Prepare | None, name: str, clock: Clock
) -> SqliteStore:
    """The store that `lock` is of, with its service's tables, this process's alone until `stack` is unwound."""
    await lock.take(f"participant {name}", clock)
    stack.callback(lock.release)
    store = await open_store(lock.store, after_crash=lock.after_crash)
    stack.push_async_callback(store.close)
    lock.opened()
    if prepare is not None:
        await _prepare(prepare, store, name)
    return store


async def _check_topics(
    kafka: KafkaSettings, topics: TopicNames, service: str, fence_retention_ms: int, *, create: bool
) -> None:
    if create:
        await _create_topics(kafka, topics, service)
    await _check_retention(kafka, topics.commands(service), fence_retention_ms)


async def _create_topics(kafka: KafkaSettings, topics: TopicNames, service: str) -> None:
    commands = topics.commands(service)
    names = (commands, topics.replies_of(service), dead_letter_topic(commands))
    for report in await create_topics(kafka, [TopicSpec(name, PARTITIONS, _TOPIC_CONFIG) for name in names]):
        if report.outcome == "refused":
            _log.warning("topic.not_created", topic=report.name, detail=report.detail)
        elif report.outcome == "created":
            _log.info("topic.created", topic=report.name, partitions=report.partitions)


async def _check_retention(kafka: KafkaSettings, topic: str, fence_retention_ms: int) -> None:
    """A command that outlives its fence row could run twice (R16)."""
    for found in await describe(kafka, [topic]):
        retention = (found.config or {}).get("retention.ms")
        if retention is not None and not 0 <= int(retention) <= fence_retention_ms:
            raise ConfigError(
                f"{topic} keeps commands for retention.ms={retention}, but the fence remembers only "
                f"{fence_retention_ms} ms: lower the topic's retention, or raise the fence's"
            )
