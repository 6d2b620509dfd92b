"""The tables of a store on PostgreSQL, as numbered migrations make them (R76), and what is asked of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres import migrations
from kafka_saga.orchestrator.store.statements import read_statements
from kafka_saga.runtime.postgres import connect
from kafka_saga.runtime.postgres_migrations import migrate, migrations_of

if TYPE_CHECKING:
    from asyncpg import Connection


_OLDER_AT_WORK = "SELECT name FROM {schema}.replicas WHERE state = 'live' AND knows < $1 ORDER BY name"


@cache
def newest_schema() -> int:
    """The newest version of the schema that this program knows."""
    return migrations_of(migrations.__name__)[-1].number


@cache
def statements_of(schema: str) -> dict[str, str]:
    """What a replica asks of the tables in `schema`, and writes beside its batches, by name."""
    found = read_statements(__package__, "replica.sql")
    return {name: sql.replace("{schema}", schema) for name, sql in found.items()}


async def bring_up_to_date(connection: Connection, at: PostgresLocation) -> int:
    """Make what is missing; the version reached.

    Raises:
        StoreRefusedError: the schema needs a newer program, belongs to another product, the role may not make it, or
            a step would end replicas of an older program.

    """
    return await migrate(connection, migrations.__name__, url=at.url, schema=at.schema, at_work=_OLDER_AT_WORK)


async def migrate_store(at: PostgresLocation) -> int:
    """The same, on a connection of its own."""
    connection = await connect(at.url, application="saga store migrate")
    try:
        return await bring_up_to_date(connection, at)
    finally:
        await connection.close()
