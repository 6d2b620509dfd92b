from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.runtime.postgres import PostgresUrl, connect
from tests.contracts.postgres import InPostgres, PostgresServer
from tests.contracts.sharing import InMemory, Server
from tests.contracts.stores import Durable, Subject, open_subject
from tests.postgres import PostgresUnderTest


@pytest.fixture(params=["memory", "memory shared", "sqlite threaded", "sqlite inline", "postgres"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each store under contract, empty."""
    async with _subject(request, tmp_path) as subject:
        yield subject


@pytest.fixture
def store(subject: Subject) -> Store:
    return subject.store


@pytest.fixture(params=["sqlite threaded", "sqlite inline", "postgres"])
async def durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Durable]:
    """Each store that outlives its process."""
    async with _subject(request, tmp_path) as subject:
        assert isinstance(subject, Durable)
        yield subject


@pytest.fixture(params=["memory", "postgres"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Each store that replicas share, empty."""
    if request.param == "memory":
        yield InMemory()
        return
    async with _place(request) as at:
        server = PostgresServer(at)
        yield server
        await server.close()


@asynccontextmanager
async def _subject(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Subject]:
    if request.param != "postgres":
        subject = await open_subject(request.param, folder)
        yield subject
        await subject.store.close()
        return
    async with _place(request) as at:
        subject = await InPostgres(at).open()
        yield subject
        await subject.store.close()


@asynccontextmanager
async def _place(request: pytest.FixtureRequest) -> AsyncIterator[PostgresLocation]:
    """A schema of its own for each test: that is sooner made than a database."""
    postgres: PostgresUnderTest = request.getfixturevalue("postgres")
    at = PostgresLocation(PostgresUrl(postgres.url), f"test_{os.urandom(5).hex()}")
    yield at
    connection = await connect(at.url, application="saga test")
    await connection.execute(f"DROP SCHEMA {at.schema} CASCADE")
    await connection.close()
