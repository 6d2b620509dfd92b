"""The guard's tables from another tool's migrations: what is printed is what the guard would make itself."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.participants.store.ddl import ddl
from kafka_saga.participants.store.sqlite import open_store
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.envelope import Outcome
from tests.participants.shop import SCHEMA, Do, make_shop

WHERE = {"saga_id": "order-1", "step": "pay"}
COLUMNS = """
SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = $1 ORDER BY 1, 2
"""
INDEXES = "SELECT replace(indexdef, $1, '') FROM pg_indexes WHERE schemaname = $1 ORDER BY 1"


@pytest.fixture
async def owner(postgres_schema: PostgresUrl) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_schema.secret_text)
    yield connection
    await connection.close()


@pytest.fixture
async def limited(postgres_schema: PostgresUrl, owner: asyncpg.Connection) -> AsyncIterator[PostgresUrl]:
    """The same schema for a role that may use rows, and make nothing."""
    role = f"runs_{os.urandom(4).hex()}"
    schema = await owner.fetchval("SELECT current_schema()")
    await owner.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}; "
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"
    )
    yield PostgresUrl(postgres_schema.secret_text.replace("saga@", f"{role}@"))
    await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_worker_that_may_make_nothing_starts_on_tables_that_were_made(
    limited: PostgresUrl, owner: asyncpg.Connection
) -> None:
    await owner.execute(ddl("postgresql"))
    await owner.execute(SCHEMA)
    async with await Harness.open(make_shop(), database=limited) as harness:
        assert (await harness.send(Do(), **WHERE)).outcome is Outcome.SUCCESS


async def test_without_the_tables_it_is_refused_in_one_line(limited: PostgresUrl) -> None:
    with pytest.raises(StoreRefusedError, match="permission denied"):
        await Harness.open(make_shop(), database=limited)


async def test_what_is_printed_makes_what_the_guard_makes(
    postgres_schema: PostgresUrl, owner: asyncpg.Connection
) -> None:
    schema = await owner.fetchval("SELECT current_schema()")
    await (await Harness.open(make_shop(), database=postgres_schema)).close()
    made = await owner.fetch(COLUMNS, schema), await owner.fetch(INDEXES, schema)
    await owner.execute("DROP TABLE saga_fence, saga_offsets, saga_meta, saga_migrations")
    await owner.execute(ddl("postgresql"))
    assert (await owner.fetch(COLUMNS, schema), await owner.fetch(INDEXES, schema)) == made


async def test_the_same_for_sqlite(tmp_path: Path) -> None:
    def schema(path: Path) -> list[tuple[str]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()

    with closing(sqlite3.connect(tmp_path / "alembics.db")) as connection:
        connection.executescript(ddl("sqlite"))
    for name in ("alembics.db", "ours.db"):
        await (await open_store(tmp_path / name)).close()
    assert [sql for (sql,) in schema(tmp_path / "alembics.db") if sql and "migrations" not in sql] == [
        sql for (sql,) in schema(tmp_path / "ours.db") if sql and "migrations" not in sql
    ]
