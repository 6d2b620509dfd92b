"""The composition root: a participant as a process. The only file here that picks Kafka and a database."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, closing
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from platform import node
from tempfile import gettempdir
from typing import Any, NamedTuple, TypeVar

from kafka_saga.messaging.arrival import wait_for_broker, wait_for_group
from kafka_saga.messaging.claims import Claimant
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.group_consumer import GroupConsumer
from kafka_saga.messaging.lag import Lag
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.sent_traces import traced_sender
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.skew import watch_skew
from kafka_saga.messaging.topics import TopicSpec, create_topics, describe
from kafka_saga.participants.faults import Faults
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.showing import show
from kafka_saga.participants.store.opening import Opening, check_fits, open_for
from kafka_saga.participants.store.port import ParticipantStore, Prepare
from kafka_saga.participants.watchdog import Watchdog
from kafka_saga.participants.witness import Witness
from kafka_saga.participants.worker import Worker
from kafka_saga.runtime.admin_port import UNSEEN, AdminPort
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import ConfigError, DefinitionError, SagaError, UsageError
from kafka_saga.runtime.limits import FENCE_RETENTION_MS, HANDLER_TIMEOUT_MS
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.process import Lifecycle, beside
from kafka_saga.runtime.showing import shown
from kafka_saga.runtime.stacks import words_of
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

_log = log("participant")

_Client = TypeVar("_Client", Consumer, Producer)

PARTITIONS = 4
"""Of topics that are created, where nothing else is said: one worker reads them all, and fewer make fuller batches."""

_TOPIC_CONFIG = {"cleanup.policy": "delete"}
"""Compaction by saga id would eat a saga's earlier commands."""


class Shared(NamedTuple):
    """A service's database on a server, which many of its workers use.

    Attributes:
        url: where it is.
        worker: this process's name among them; the host's when it is empty.
        state_dir: a folder of this host, for the note of what a process died of; the system's for temporary files when
            not given.

    """

    url: PostgresUrl
    worker: str = ""
    state_dir: Path | None = None


def _address(database: Path | Shared) -> Path | PostgresUrl:
    return database.url if isinstance(database, Shared) else database


async def _working(service: str, worker: Worker, consumer: Consumer) -> None:
    if isinstance(consumer, GroupConsumer):
        consumer.owner = worker
    await worker.run()
    _log.info("participant.stopped", service=service)


def worker_of(database: Path | Shared) -> str:
    """What this process is called among its service's workers."""
    return (database.worker if isinstance(database, Shared) else "") or node()


def _shown_as(service: str, database: Path | Shared) -> str:
    """Workers on one database may share a data directory; the owner of a file is alone."""
    return f"{service}.{worker_of(database)}" if isinstance(database, Shared) else service


async def run_participant(
    lifecycle: Lifecycle,
    *,
    participant: Participant,
    kafka: KafkaSettings,
    topics: TopicNames,
    database: Path | Shared,
    faults: Faults | None = None,
    prepare: Prepare | None = None,
    partitions: int | None = PARTITIONS,
    fence_retention_ms: int = FENCE_RETENTION_MS,
    handler_timeout_ms: int = HANDLER_TIMEOUT_MS,
    broker_wait_ms: int | None = None,
    clock: Clock | None = None,
    admin: AdminPort = UNSEEN,
) -> None:
    """Handle the commands of `participant` until `lifecycle` says stop.

    Args:
        lifecycle: this process's.
        participant: whose handlers run.
        kafka: how to reach Kafka.
        topics: how topics are called.
        database: the service's own, a SQLite file or one that workers share; the guard keeps its tables there too.
        faults: what goes wrong on purpose (`Faults.from_environment`).
        prepare: creates the service's tables where they are missing, and fills them; runs at every start.
        partitions: of the service's commands, replies and dead letters, created where missing; None: they are not.
        fence_retention_ms: for how long the fence remembers (R16); not below the command topic's retention.
        handler_timeout_ms: how long a handler may take, where neither it nor the participant says so.
        broker_wait_ms: for how long to wait for a Kafka that is away, in milliseconds; without end when not given.
        clock: the machine's when not given.
        admin: where it shows its health and its metrics.

    Raises:
        StoreRefusedError: the database is in use, newer than this program, or not the one that was used before.
        UsageError: commands are kept for longer than the fence, `prepare` failed, or handlers do not fit the database.
        UnavailableError: Kafka or the database does not answer.

    """
    name, at, clock = participant.name, _address(database), clock or SystemClock()
    opening = Opening(participant, worker_of(database), clock, handler_timeout_ms)
    async with AsyncExitStack() as stack:
        of_us = await stack.enter_async_context(shown(admin, lifecycle, name, clock, name=_shown_as(name, database)))
        store, watches = await _own_store(stack, opening, at, prepare)
        if not await _kafka_came(opening, kafka, topics, lifecycle, broker_wait_ms, partitions, fence_retention_ms):
            return
        offsets = {} if store.is_shared else await store.offsets()
        consumer = await _begun(stack, _consumer(opening, store, kafka, topics, str(at)), offsets)
        witness = _look_on(stack, lifecycle, kafka, opening, database)
        working = Worker(
            participant,
            store=store,
            stored_offsets=offsets,
            newest_ms=await store.newest_ms(),
            consumer=consumer,
            producer=traced_sender(_stopping(stack, Producer(kafka, clock=clock))),
            topics=topics,
            group=_group(topics, name),
            clock=clock,
            lifecycle=lifecycle,
            faults=faults,
            handler_timeout_ms=handler_timeout_ms,
            fence_retention_ms=fence_retention_ms,
            witness=witness,
        )
        show(stack, of_us, working, consumer, Lag(kafka, clock, consumer), handler_timeout_ms)
        _say_ready(faults, service=name, commands=topics.commands(name), database=str(at))
        await beside(_working(name, working, consumer), consumer.claim.watch(), *(watch() for watch in watches))
        witness.forgive()


def _group(topics: TopicNames, service: str) -> str:
    return f"{topics.prefix}{service}"


def _consumer(
    opening: Opening, store: ParticipantStore, kafka: KafkaSettings, topics: TopicNames, database: str
) -> Consumer:
    """Who reads: one for all partitions, or one of many for some."""
    name = opening.participant.name
    reads, group, claimant = [topics.commands(name)], _group(topics, name), Claimant(store.store_id, database, name)
    if store.is_shared:
        member = opening.worker
        return GroupConsumer(kafka, reads, group=group, member=member, claimant=claimant, clock=opening.clock)
    return Consumer(kafka, reads, group=group, claimant=claimant, clock=opening.clock)


def _note_of(database: Path | Shared, service: str) -> Path:
    """What the note of deaths stands beside: the database's file, or a name in a folder of this process's."""
    if isinstance(database, Path):
        return database
    folder = database.state_dir or Path(gettempdir())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.warning("participant.no_state_dir", folder=str(folder), error=str(error), instead=gettempdir())
        folder = Path(gettempdir())
    return folder / f"{service}.{worker_of(database)}"


async def _begun(stack: AsyncExitStack, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> Consumer:
    """`consumer`, which reads from `offsets` on until `stack` is unwound."""
    _stopping(stack, consumer)
    await consumer.start(offsets)
    return consumer


def _look_on(
    stack: AsyncExitStack, lifecycle: Lifecycle, kafka: KafkaSettings, opening: Opening, database: Path | Shared
) -> Witness:
    """Say it when a handler blocks the process, when its clock is not Kafka's, and what an earlier process died of."""
    stack.enter_context(Watchdog(opening.clock, handler_timeout_ms=opening.handler_timeout_ms))
    stack.callback(lifecycle.spawn(watch_skew(kafka, opening.clock), "clock").cancel)
    return stack.enter_context(closing(Witness(_note_of(database, opening.participant.name))))


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
        await store.prepare(prepare)
    except SagaError:
        raise
    except Exception as error:
        own = error.__traceback__
        _log.error("participant.prepare_failed", service=name, exc_info=error.with_traceback(own and own.tb_next))
        raise UsageError(f"prepare of {name} failed: {type(error).__name__}: {words_of(error)}") from error


class _Owned(NamedTuple):
    store: ParticipantStore
    watches: list[Callable[[], Coroutine[Any, Any, None]]]
    """What finds out that it is not ours any more, and raises then."""


async def _own_store(
    stack: AsyncExitStack, opening: Opening, database: Path | PostgresUrl, prepare: Prepare | None
) -> _Owned:
    """The store in `database`, with its service's tables, until `stack` is unwound; a file is this process's alone."""
    name = opening.participant.name
    check_fits(opening.participant, database)
    watches: list[Callable[[], Coroutine[Any, Any, None]]] = []
    if isinstance(database, PostgresUrl):
        store = await open_for(opening, database)
        stack.push_async_callback(store.close)
    else:
        lock = StoreLock(database)
        await lock.take(f"participant {name}", opening.clock)
        stack.callback(lock.release)
        store = await open_for(opening, lock.store, after_crash=lock.after_crash)
        stack.push_async_callback(store.close)
        lock.opened()
        watches.append(partial(lock.watch, opening.clock))
    if prepare is not None:
        await _prepare(prepare, store, name)
    return _Owned(store, watches)


async def _kafka_came(  # noqa: PLR0917 -- all that a start asks of Kafka
    opening: Opening,
    kafka: KafkaSettings,
    topics: TopicNames,
    lifecycle: Lifecycle,
    wait_ms: int | None,
    partitions: int | None,
    fence_retention_ms: int,
) -> bool:
    """Whether a broker came before we were told to stop, with our topics as they must be, and our group."""
    name, stopping, clock = opening.participant.name, lifecycle.stopping, opening.clock
    if not await wait_for_broker(kafka, stopping=stopping, wait_ms=wait_ms, clock=clock):
        return False
    if partitions is not None:
        await _create_topics(kafka, topics, name, partitions)
    commands = topics.commands(name)
    await _check_retention(kafka, commands, fence_retention_ms)
    group = _group(topics, name)
    return await wait_for_group(kafka, group, [commands], stopping=stopping, wait_ms=wait_ms, clock=clock)


async def _create_topics(kafka: KafkaSettings, topics: TopicNames, service: str, partitions: int) -> None:
    commands = topics.commands(service)
    names = (commands, topics.replies_of(service), dead_letter_topic(commands))
    for report in await create_topics(kafka, [TopicSpec(name, partitions, _TOPIC_CONFIG) for name in names]):
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
