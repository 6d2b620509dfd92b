"""Opening a participant's store, wherever the service's database is and whatever its handlers take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.runtime.clock import Clock, new_id
from kafka_saga.runtime.errors import ConfigError, DefinitionError, StoreRefusedError
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.limits import HANDLER_TIMEOUT_MS
from kafka_saga.runtime.migrations import GUEST_SCHEMA_TABLE
from kafka_saga.runtime.postgres import PostgresUrl, check_schema_name, translated_errors

if TYPE_CHECKING:
    from kafka_saga.participants.store.postgres import Giving, PostgresStore
    from kafka_saga.participants.store.postgres_session import Session


_WORKER = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""Kafka's rule for a member's name."""


def check_fits(participant: Participant, database: Path | str | PostgresUrl) -> None:
    """Refuse handlers that take what this database does not give.

    Raises:
        DefinitionError: they do; it says what to write instead.

    """
    if participant.kind is Kind.CONNECTION and not isinstance(database, PostgresUrl):
        raise DefinitionError(
            f"the handlers of {participant.name} take an asyncpg.Connection, and {database} is a SQLite file: write "
            "`--database postgresql://…`, or have them take `tx: Transaction`"
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """Who opens a store.

    Attributes:
        participant: whose handlers will write in it.
        worker: this process's name among the service's workers, where there may be many.
        clock: for waiting.
        handler_timeout_ms: how long a handler may take that says nothing else.

    """

    participant: Participant
    worker: str
    clock: Clock
    handler_timeout_ms: int = HANDLER_TIMEOUT_MS


async def open_for(
    opening: Opening, database: Path | str | PostgresUrl, *, after_crash: bool = False
) -> ParticipantStore:
    """Open the store in a service's `database`, with its tables where they are missing; `":memory:"` is one for tests.

    Raises:
        DefinitionError: the handlers take what this database does not give.
        ConfigError: the driver is not installed, or the worker's name cannot be one.
        StoreRefusedError: another worker has this name, the role may not do what is needed, or a newer program is.
        StoreUnavailableError: the database cannot be opened.

    """
    check_fits(opening.participant, database)
    if isinstance(database, PostgresUrl):
        return await _open_postgres(opening, database)
    if opening.participant.kind is Kind.SESSION:
        require("sqlalchemy", "an AsyncSession")
        from kafka_saga.participants.store.alchemy_sqlite import open_alchemy  # noqa: PLC0415 -- an extra

        return await open_alchemy(database, opening.participant.sessions, after_crash=after_crash)
    from kafka_saga.participants.store.sqlite import open_store  # noqa: PLC0415 -- it is one of several

    return await open_store(database, after_crash=after_crash)


async def _open_postgres(opening: Opening, url: PostgresUrl) -> PostgresStore:
    require("postgres", "PostgreSQL")
    from kafka_saga.participants.store.postgres_session import DriverSession, Workshop  # noqa: PLC0415 -- an extra

    if not _WORKER.fullmatch(opening.worker):
        raise ConfigError(f"a worker's name has letters, digits, '.', '_' and '-' only; {opening.worker!r} has others")
    participant = opening.participant
    longest_ms = max(
        [opening.handler_timeout_ms, *(handler.timeout_ms or 0 for handler in participant.handlers.values())]
    )
    workshop = Workshop(url, participant.name, opening.worker, longest_ms, opening.clock)
    session: Session
    giving: Giving
    if participant.kind is Kind.SESSION:
        require("sqlalchemy", "an AsyncSession")
        from kafka_saga.participants.store.alchemy_postgres import AlchemyGiving, AlchemySession  # noqa: PLC0415

        session = alchemys = AlchemySession(workshop)
        giving = AlchemyGiving(alchemys, participant.sessions)
    else:
        from kafka_saga.participants.store.postgres_workplace import DriverGiving  # noqa: PLC0415

        session = DriverSession(workshop)
        giving = DriverGiving(session, participant.kind or Kind.TRANSACTION)
    await session.ready()
    try:
        return await _store_on(session, giving)
    except BaseException:
        await session.close()
        raise


async def _store_on(session: Session, giving: Giving) -> PostgresStore:
    from kafka_saga.participants.store.postgres import MIGRATIONS, PostgresStore  # noqa: PLC0415 -- an extra
    from kafka_saga.runtime.postgres_migrations import migrate  # noqa: PLC0415

    url, connection = session.workshop.url, session.connection
    with translated_errors(url):
        schema = await connection.fetchval("SELECT current_schema()")
        if schema is None:
            raise StoreRefusedError(f"{url}: its search_path names no schema that exists: create one for the tables")
        check_schema_name(schema)
        await migrate(connection, MIGRATIONS, url=url, schema=schema, table=GUEST_SCHEMA_TABLE)
        meta = f"{schema}.saga_meta"
        find = f"SELECT value FROM {meta} WHERE name = 'store_id'"  # noqa: S608 -- a checked name
        if await connection.fetchval(find) is None:
            insert = f"INSERT INTO {meta} VALUES ('store_id', $1) ON CONFLICT DO NOTHING"  # noqa: S608
            await connection.execute(insert, new_id())
        store_id = await connection.fetchval(find)
    return PostgresStore(session, schema, store_id, giving)
