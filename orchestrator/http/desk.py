"""What the routes work with: everything that a request may read or cause goes through the desk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.http.gauge import Gauge
from kafka_saga.orchestrator.http.lag_gauge import LagGauge
from kafka_saga.orchestrator.http.live import Live
from kafka_saga.orchestrator.http.readers import Readers
from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.acts.jobs import BulkJobs
from kafka_saga.orchestrator.operations.checks.examination import Site
from kafka_saga.orchestrator.operations.checks.topics import Wanted
from kafka_saga.orchestrator.operations.dead_letters.shelf import Shelf
from kafka_saga.orchestrator.operations.kafka.lag import Groups, read_groups
from kafka_saga.orchestrator.operations.kafka.messages import id_fields
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs
from kafka_saga.orchestrator.operations.sagas.watching import Snapshot
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import read_offsets
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import FENCE_RETENTION_MS, IN_FLIGHT_MAX, PURGED_RETENTION_MS
from kafka_saga.schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Desk:
    """What a request may use.

    Attributes:
        store_at: where the store is, a file or a database.
        registry: the definitions that this process knows.
        site: where everything is and how it should be, for examinations (`operations.checks`).
        in_flight_max: sagas that run at once.
        kafka: how to reach Kafka: to read dead letters and lag (`operations.kafka`, `operations.dead_letters`).
        topics: how topics are called.
        group: the orchestrator's consumer group.
        clock: time.
        new_id: fresh ids, for acts.
        may_write: False where everything is shown and nothing can be changed.
        producer: publishes requests; connects when it first must.
        readers: the store's.
        live: what changes, for streams.
        gauge: how the sagas are (`figures`).
        lag: who reads what, and how far behind.
        jobs: acts on many sagas, of the pages and of the API.
        letters: dead letters.
        ending: set when the server ends: streams that are open must end too.

    """

    store_at: StoreLocation
    registry: Registry
    site: Site
    in_flight_max: int
    kafka: KafkaSettings
    topics: TopicNames
    group: str
    clock: Clock
    new_id: Callable[[], str]
    may_write: bool
    producer: Producer
    readers: Readers
    live: Live
    gauge: Gauge
    lag: LagGauge
    jobs: BulkJobs
    letters: Shelf
    ending: asyncio.Event

    def reader(self) -> AbstractAsyncContextManager[StoreReader]:
        """The store, for a few short questions: `async with desk.reader() as reader`. What is sensitive is masked.

        Raises:
            StoreUnavailableError: there is no store, or its server does not answer.
            StoreRefusedError: it is that of another version of this program.

        """
        return self.readers.take()

    async def figures(self) -> Snapshot:
        """How the sagas are: asked of the store once in a while for all who ask."""
        return await self.gauge.read()

    @asynccontextmanager
    async def own_reader(self) -> AsyncIterator[StoreReader]:
        """The store, for somebody who waits for what happens there: nobody else waits for this reader.

        Raises:
            TooManyClientsError: as many wait as may.
            StoreUnavailableError: there is no store, or its server does not answer.

        """
        async with self.live.place():
            reader = await self.readers.open_one()
            try:
                yield reader
            finally:
                await reader.close()

    @asynccontextmanager
    async def act_queue(self) -> AsyncIterator[ActQueue]:
        """Where acts are put.

        Raises:
            StoreUnavailableError: there is no store, or its server does not answer.

        """
        queue = await ActQueue.open(self.store_at)
        try:
            yield queue
        finally:
            await queue.close()


@asynccontextmanager
async def open_desk(
    *,
    store_at: StoreLocation,
    registry: Registry,
    kafka: KafkaSettings,
    topics: TopicNames,
    group: str,
    clock: Clock,
    new_id: Callable[[], str],
    may_write: bool,
    site: Site | None = None,
    in_flight_max: int = IN_FLIGHT_MAX,
) -> AsyncIterator[Desk]:
    """A desk; neither the store nor Kafka is asked anything before the first request."""
    producer, readers = Producer(kafka, clock=clock), Readers(store_at, clock, Masks(registry))
    ending = asyncio.Event()
    desk = Desk(
        store_at=store_at,
        registry=registry,
        site=site or _bare_site(store_at, registry, kafka, topics, group),
        in_flight_max=in_flight_max,
        kafka=kafka,
        topics=topics,
        group=group,
        clock=clock,
        new_id=new_id,
        may_write=may_write,
        producer=producer,
        readers=readers,
        live=Live(readers, clock, ending, new_id()[:8]),
        gauge=Gauge(readers, clock),
        lag=LagGauge(clock, partial(_groups, readers, kafka, registry, topics, group)),
        jobs=BulkJobs(store_at, clock, new_id),
        letters=Shelf(kafka, topics, id_fields(registry, topics), clock),
        ending=ending,
    )
    try:
        yield desk
    finally:
        desk.ending.set()
        await desk.lag.close()
        await desk.jobs.close()
        await desk.letters.close()
        await readers.close()
        await producer.stop()


async def _groups(readers: Readers, kafka: KafkaSettings, registry: Registry, topics: TopicNames, group: str) -> Groups:
    async with readers.take() as reader:
        positions = await read_offsets(reader)
    return await read_groups(positions, kafka, registry, topics, group)


def _bare_site(
    store_at: StoreLocation, registry: Registry, kafka: KafkaSettings, topics: TopicNames, group: str
) -> Site:
    """The same without services' databases, which may be on other machines anyway."""
    requests = frozenset(topics.requests(saga_type) for saga_type in registry.saga_types)
    commands = frozenset(topics.commands(service) for service in registry.services)
    replies = frozenset(topics.replies_of(service) for service in registry.services)
    wanted = Wanted(
        specs=topic_specs(registry, topics, 1),
        live=requests | commands | replies,
        commands=commands,
        requests=requests,
        fence_ms=FENCE_RETENTION_MS,
        purged_ms=PURGED_RETENTION_MS,
    )
    nowhere = {service: Path(f"{service}.db") for service in registry.services}
    return Site(kafka, topics, store_at, Path(), group, registry, wanted, databases=nowhere)


async def _desk_of(request: Request) -> Desk:  # async: else each request would wait for a thread
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


TheDesk = Annotated[Desk, Depends(_desk_of)]
"""A route's argument: `async def show(desk: TheDesk, …)`."""
