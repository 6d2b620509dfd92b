"""Where a service on PostgreSQL reads on, asked and set while none of its workers is at work (R22)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl, connect, translated_errors

if TYPE_CHECKING:
    from asyncpg import Connection

_NAME = "saga adopt"


class Positions(NamedTuple):
    """An open store.

    Attributes:
        store_id: what it is known by.
        stored: the next offset of each partition that was ever read.
        move: sets some of them.

    """

    store_id: str
    stored: Mapping[TopicPartition, int]
    move: Callable[[Mapping[TopicPartition, int]], Awaitable[None]]


async def workers_of(url: PostgresUrl, service: str) -> str | None:
    """Which workers of `service` have the database open; None where none has."""
    async with _reading(url) as connection:
        names = await connection.fetchval(
            "SELECT string_agg(DISTINCT application_name, ', ') FROM pg_stat_activity "
            "WHERE datname = current_database() AND starts_with(application_name, $1)",
            f"saga {service} ",
        )
    return None if names is None else f"a worker ({names})"


async def positions_of(url: PostgresUrl) -> dict[TopicPartition, int]:
    """How far the service has read, without changing anything; nothing where it never began."""
    async with _reading(url) as connection:
        if await connection.fetchval("SELECT to_regclass('saga_offsets')") is None:
            return {}
        rows = await connection.fetch("SELECT topic, partition, next FROM saga_offsets")
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


@asynccontextmanager
async def _reading(url: PostgresUrl) -> AsyncIterator[Connection]:
    """A transaction that cannot write; not a session, which a pooler may give to a worker next."""
    connection = await connect(url, application=_NAME)
    try:
        with translated_errors(url):
            async with connection.transaction(readonly=True):
                yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def opened_for_positions(url: PostgresUrl, service: str) -> AsyncIterator[Positions]:
    """The store, made where there is none, and how to set where it reads on."""
    clock = SystemClock()
    store = await open_for(Opening(Participant(service), "saga-adopt", clock), url)
    try:
        stored = await store.offsets()

        async def move(to: Mapping[TopicPartition, int]) -> None:
            async with store.transaction():
                await store.move_offsets(stored, to, max(clock.now_ms(), await store.newest_ms()))

        yield Positions(store.store_id, stored, move)
    finally:
        await store.close()
