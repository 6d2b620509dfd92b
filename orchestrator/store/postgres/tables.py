"""A PostgreSQL store's tables, for whoever works beside the replicas: operators' commands, and upkeep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from zlib import crc32

import asyncpg

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres.schema import newest_schema
from kafka_saga.orchestrator.store.statements import read_statements
from kafka_saga.runtime.errors import SagaError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.limits import (
    POSTGRES_BESIDE_LOCK_TIMEOUT_MS,
    POSTGRES_BESIDE_STATEMENT_TIMEOUT_MS,
    POSTGRES_CLOSE_TIMEOUT_MS,
    POSTGRES_KEY_SLACK_MS,
)
from kafka_saga.runtime.postgres import SessionLimits, connect, translated_errors
from kafka_saga.runtime.postgres_migrations import NOT_OURS
from kafka_saga.runtime.sql_values import Params
from kafka_saga.runtime.sqlite import Row

if TYPE_CHECKING:
    from asyncpg import Connection

COPYING = "copying"
"""In `meta` while a store is being moved here: it cannot be used yet."""

RENEWING = "renewing"
"""In `meta` while a new life begins after the server's own tools have put the database back (R59)."""

_NAMES_SHOWN = 3

_LIMITS = SessionLimits(POSTGRES_BESIDE_STATEMENT_TIMEOUT_MS, POSTGRES_BESIDE_LOCK_TIMEOUT_MS)


async def open_tables(at: PostgresLocation, *, application: str, read_only: bool) -> PostgresTables:
    """Open the store at `at` beside the replicas that work on it.

    Raises:
        StoreUnavailableError: the server does not answer, or there is no store.
        StoreRefusedError: what is there is another program's, or of another version of this one, or the role may not
            read it.

    """
    tables = await connect_tables(at, application=application, read_only=read_only)
    try:
        await _check_schema(tables, at)
    except BaseException:
        await tables.close()
        raise
    return tables


async def connect_tables(at: PostgresLocation, *, application: str, read_only: bool) -> PostgresTables:
    """The same whatever is there, even nothing.

    Raises:
        StoreUnavailableError: the server does not answer.
        StoreRefusedError: it does not let us in.

    """
    connection = await connect(at.url, application=application, limits=_LIMITS)
    return PostgresTables(connection, at, read_only=read_only)


async def _check_schema(tables: PostgresTables, at: PostgresLocation) -> None:
    found = await tables.schema_version()
    if not found:
        raise (await what_is_there(tables)).error()
    [(version, compatible_from)] = found
    ours = newest_schema()
    await _check_whole(tables, at)
    if compatible_from > ours:
        advice = "use the newer kafka-saga that wrote it"
    elif version < ours:
        advice = "start `saga orchestrator` once, which brings it up to date"
    else:
        return
    raise StoreRefusedError(f"{at} has schema version {version}, and this program reads version {ours}: {advice}")


async def _check_whole(tables: PostgresTables, at: PostgresLocation) -> None:
    meta: dict[str, str] = dict(await tables.fetch_all("meta"))
    check_whole(meta, at)


def check_whole(meta: Mapping[str, str], at: PostgresLocation) -> None:
    """Refuse a store that is still being copied to, or whose new life has not wholly begun.

    Raises:
        StoreRefusedError: it is.

    """
    if COPYING in meta:
        raise StoreRefusedError(f"a copy into {at} is not finished: run its `saga store copy` again")
    if RENEWING in meta:
        raise StoreRefusedError(f"`saga store recovered` on {at} was broken off: run it again")


class Absence(NamedTuple):
    """A schema in which there is no store: what is there instead, and what to do about it."""

    found: str
    remedy: str
    is_foreign: bool
    """Whether another program's tables are there."""

    def error(self) -> SagaError:
        """What is raised of it."""
        text = f"{self.found}: {self.remedy}"
        return StoreRefusedError(text) if self.is_foreign else StoreUnavailableError(text)


async def what_is_there(tables: PostgresTables) -> Absence:
    """Of a schema in which `schema_version` has found nothing."""
    where = f"schema '{tables.at.schema}' of {tables.at.url}"
    others = [name for (name,) in await tables.fetch_all("tables_there")]
    stores = [name for (name,) in await tables.fetch_all("schemas_with_a_store")]
    if stores:
        remedy = (
            f"there is one in schema {_listed(stores)}, name it with SAGA_STORE_SCHEMA; or name another with --store"
        )
    elif others:
        remedy = "name the store's schema with SAGA_STORE_SCHEMA, or another database with --store"
    else:
        remedy = "start `saga orchestrator` first, or name another with --store"
    found = f"there is no store in {where}"
    if others:
        found = f"{where} is not a kafka-saga store, its tables are another program's ({_listed(others)})"
    return Absence(found, remedy, bool(others))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN])
    return shown + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")


class PostgresTables:
    """`Tables` in one schema of a database. A statement that many rows are given to takes their columns as arrays.

    Read-only is each transaction, and not the session: a pooler may give the session to an orchestrator next.
    """

    slack_ms: ClassVar[int] = POSTGRES_KEY_SLACK_MS

    def __init__(self, connection: Connection, at: PostgresLocation, *, read_only: bool = False) -> None:
        self.connection = connection
        self.at = at
        self._read_only = read_only
        self.sql = _statements(at.schema)

    async def fetch_all(self, name: str, params: Params = ()) -> list[Row]:
        sql, values = self.sql[name], [sendable(value) for value in params]
        with translated_errors(self.at.url):
            if self._read_only:
                async with self.connection.transaction(readonly=True):
                    found = await self.connection.fetch(sql, *values)
            else:
                found = await self.connection.fetch(sql, *values)
        return [tuple(row) for row in found]

    async def execute(self, name: str, params: Params = ()) -> int:
        return await self._execute(name, [sendable(value) for value in params])

    async def execute_many(self, name: str, rows: Iterable[Params]) -> int:
        columns = [[sendable(value) for value in column] for column in zip(*rows, strict=True)]
        return await self._execute(name, columns) if columns else 0

    def transaction(self) -> AbstractAsyncContextManager[None]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with translated_errors(self.at.url):
            async with self.connection.transaction():
                yield

    async def queue_acts(self, rows: Sequence[Sequence[Any]]) -> int:
        async with self.transaction():
            new = await self.execute_many("insert_act", [(*row, lane_hash(row[2])) for row in rows])
            await self.fetch_all("announce_acts")
        return new

    async def note_act(self, row: Sequence[Any]) -> None:
        await self.execute("note_act", (*row, lane_hash(row[2])))

    async def schema_version(self) -> list[Row]:
        """The version, and the oldest program that may use it; nothing where there is no store (`what_is_there`)."""
        try:
            found = await self.fetch_all("schema_version")
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, *NOT_OURS):
            return []
        return [(version, oldest) for version, oldest in found if version]

    async def close(self) -> None:
        try:
            await self.connection.close(timeout=POSTGRES_CLOSE_TIMEOUT_MS / 1_000)
        except (OSError, TimeoutError):  # gone already: nothing of it is needed any more
            self.connection.terminate()

    async def _execute(self, name: str, values: list[Any]) -> int:
        with translated_errors(self.at.url):
            status = await self.connection.execute(self.sql[name], *values)
        return int(status.rpartition(" ")[2])


def lane_hash(saga_id: str) -> int:
    """The hash that a saga's lane is told by: our producers' partitioner (R60)."""
    return crc32(saga_id.encode())


@cache
def _statements(schema: str) -> dict[str, str]:
    found = read_statements("kafka_saga.orchestrator.store.postgres")
    return {name: sql.replace("{schema}", schema) for name, sql in found.items()}


def sendable(value: Any) -> Any:
    """Text as PostgreSQL takes it: it knows neither U+0000 nor half of a character."""
    if not isinstance(value, str):
        return value
    return value.encode(errors="ignore").decode().replace("\0", "")
