"""Opening a store beside whoever works on it, wherever it is: to read it, or to put something into it (R24, R25)."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.orchestrator.store import migrations
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.store.moved import MOVED_TO, check_here
from kafka_saga.orchestrator.store.owners import BeatingReplicas, FileOwner, Owners
from kafka_saga.orchestrator.store.presence import check_store
from kafka_saga.orchestrator.store.tables import SqliteTables, Tables
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.migrations import newest_schema
from kafka_saga.runtime.sqlite import open_beside, open_reader

_READING = "saga (reading)"
_ACTING = "saga (acting)"


async def open_to_read(at: StoreLocation) -> Tables:
    """Open the store for reading only.

    Raises:
        StoreUnavailableError: there is none, or its server does not answer.
        StoreRefusedError: what is there is no store, or its schema is that of another version of this program.

    """
    if isinstance(at, PostgresLocation):
        return await _open_postgres(at, _READING, read_only=True)
    check_store(at)
    tables = SqliteTables(await open_reader(at))
    try:
        await _check_schema(tables, at)
    except BaseException:
        await tables.close()  # its thread would keep the process from ending
        raise
    return tables


async def open_to_write(at: StoreLocation) -> Tables:
    """Open the store for short writes beside whoever works on it.

    Raises:
        StoreUnavailableError: there is none, or its server does not answer.
        StoreRefusedError: what is there is no store of this version.

    """
    if isinstance(at, PostgresLocation):
        return await _open_postgres(at, _ACTING, read_only=False)
    check_store(at)
    tables = SqliteTables(await open_beside(at))
    try:
        await _check_here(tables, at)
    except BaseException:
        await tables.close()
        raise
    return tables


def owners_of(at: StoreLocation, tables: Tables) -> Owners:
    """Who tells who works on the store."""
    return BeatingReplicas(tables) if isinstance(at, PostgresLocation) else FileOwner(at)


async def _check_here(tables: Tables, path: Path) -> None:
    meta: dict[str, str] = dict(await tables.fetch_all("meta"))
    check_here(path, meta.get(MOVED_TO))


async def _check_schema(tables: Tables, path: Path) -> None:
    await _check_here(tables, path)
    ours = newest_schema(migrations.__name__)
    [(version,)] = await tables.fetch_all("schema_version")
    if version != ours:
        advice = "start `saga orchestrator` once, which brings it up to date"
        if version > ours:
            advice = "use the newer kafka-saga that wrote it"
        raise StoreRefusedError(f"{path} has schema version {version}, and this program reads version {ours}: {advice}")


async def _open_postgres(at: PostgresLocation, application: str, *, read_only: bool) -> Tables:
    from kafka_saga.orchestrator.store.postgres.tables import open_tables  # noqa: PLC0415 -- its driver is an extra

    return await open_tables(at, application=application, read_only=read_only)
