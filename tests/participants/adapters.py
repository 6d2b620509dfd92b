"""The databases that a participant may have, and what its handlers may take: the contract holds for all (R77-R79)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.postgres import PostgresUrl
from tests.participants.shop import SCHEMA, Outside, make_shop
from tests.postgres import PostgresUnderTest


@dataclass
class Adapter:
    """One of them, with an empty database."""

    name: str
    kind: Kind
    database: str | Path | PostgresUrl

    @property
    def is_postgres(self) -> bool:
        return isinstance(self.database, PostgresUrl)

    def shop(self, outside: Outside | None = None, **options: Any) -> Participant:
        return make_shop(outside, kind=self.kind, **options)

    async def open(self, participant: Participant | None = None, **options: Any) -> Harness:
        options.setdefault("schema", SCHEMA)
        return await Harness.open(participant or self.shop(), database=self.database, **options)


ON_SQLITE = {"sqlite": Kind.TRANSACTION, "sqlalchemy on sqlite": Kind.SESSION}
ON_POSTGRES = {
    "postgresql": Kind.TRANSACTION,
    "asyncpg": Kind.CONNECTION,
    "sqlalchemy on postgresql": Kind.SESSION,
}


_DATABASES: dict[str, str] = {}
_SCHEMAS = count(1)


async def new_schema(server: PostgresUnderTest) -> PostgresUrl:
    """A schema of its own in one database of the run: a database for each test takes a second."""
    if server.url not in _DATABASES:
        _DATABASES[server.url] = await server.create_database(f"participants_{os.urandom(5).hex()}")
    name = f"test_{next(_SCHEMAS)}"
    connection = await asyncpg.connect(_DATABASES[server.url])
    try:
        await connection.execute(f"CREATE SCHEMA {name}")
    finally:
        await connection.close()
    return PostgresUrl(f"{_DATABASES[server.url]}?search_path={name}")


async def _made(request: pytest.FixtureRequest) -> Adapter:
    name = request.param
    if name in ON_SQLITE:
        return Adapter(name, ON_SQLITE[name], ":memory:")
    return Adapter(name, ON_POSTGRES[name], await new_schema(request.getfixturevalue("postgres")))


@pytest.fixture(params=[*ON_SQLITE, *ON_POSTGRES])
async def adapter(request: pytest.FixtureRequest) -> Adapter:
    return await _made(request)


@pytest.fixture(params=[*ON_POSTGRES])
async def on_postgres(request: pytest.FixtureRequest) -> Adapter:
    return await _made(request)


@pytest.fixture
async def postgres_schema(postgres: PostgresUnderTest) -> PostgresUrl:
    return await new_schema(postgres)


__all__ = ["Adapter", "adapter", "on_postgres", "postgres_schema"]
