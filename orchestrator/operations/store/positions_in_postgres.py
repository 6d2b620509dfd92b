"""Where a store on PostgreSQL reads on, asked and set while no replica works on it (R22)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.kafka.adopting import Opened
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.owners import BeatingReplicas
from kafka_saga.orchestrator.store.postgres.schema import migrate_store
from kafka_saga.orchestrator.store.postgres.tables import PostgresTables, connect_tables, open_tables
from kafka_saga.runtime.clock import SystemClock

_NAME = "saga adopt"


async def replicas_of(at: PostgresLocation) -> str | None:
    """Which replicas work on the store; None where none does, or there is no store yet."""
    tables = await connect_tables(at, application=_NAME, read_only=True)
    try:
        return await BeatingReplicas(tables).now(SystemClock()) if await tables.schema_version() else None
    finally:
        await tables.close()


async def positions_of(at: PostgresLocation) -> dict[TopicPartition, int]:
    """How far the store has read, without changing it; nothing where there is no store yet."""
    tables = await connect_tables(at, application=_NAME, read_only=True)
    try:
        return await _read(tables) if await tables.schema_version() else {}
    finally:
        await tables.close()


@asynccontextmanager
async def opened_for_positions(at: PostgresLocation) -> AsyncIterator[Opened]:
    """The store, made where there is none, and how to set where it reads on."""
    await migrate_store(at)
    tables = await open_tables(at, application=_NAME, read_only=False)
    try:

        async def move(to: Mapping[TopicPartition, int]) -> None:
            async with tables.transaction():
                await tables.execute_many("set_offset", [(*tp, offset) for tp, offset in sorted(to.items())])

        meta: dict[str, str] = dict(await tables.fetch_all("meta"))
        yield Opened(meta["store_id"], await _read(tables), move)
    finally:
        await tables.close()


async def _read(tables: PostgresTables) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, number): offset for topic, number, offset in await tables.fetch_all("offsets")}
