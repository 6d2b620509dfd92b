"""`saga orchestrator` on a database that it cannot use: one line that says what to do, and nothing half-written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.kafka.kafka import free_port
from deploy.postgres.postgres import QUICK, PostgresError, Server, running_server
from kafka_saga.orchestrator.store.postgres.schema import newest_schema
from kafka_saga.runtime.postgres import PostgresUrl
from tests.cli.conftest import ROOT, Run, Saga

SECRET = "tell-nobody"


@pytest.fixture
def small() -> Iterator[Server]:
    """A server that takes four connections."""
    try:
        with running_server(
            *QUICK, "max_connections=4", "superuser_reserved_connections=0", "max_wal_senders=0"
        ) as server:
            yield server
    except PostgresError as error:
        pytest.skip(str(error))


def as_user(url: PostgresUrl, user: str, password: str = SECRET) -> str:
    return f"postgresql://{user}:{password}@{url.secret_text.rpartition('@')[2]}"


def refused(run: Run, exit_code: int, *said: str) -> None:
    """One line, whatever it says, and never the password."""
    assert run.exit_code == exit_code, run.err
    [line] = [line for line in run.err.splitlines() if line.startswith("saga: ")]
    assert all(words in line for words in said), line
    assert SECRET not in run.out + run.err


def test_a_server_that_is_not_there_is_exit_code_5(saga: Saga) -> None:
    run = saga("orchestrator", "--store", f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/orders")
    refused(run, 5, "postgresql://me:***@127.0.0.1:", "does not answer", "is PostgreSQL running there?")


async def test_an_unknown_user_is_exit_code_4(saga: Saga, postgres_url: PostgresUrl) -> None:
    run = await asyncio.to_thread(saga, "orchestrator", "--store", as_user(postgres_url, "nobody_at_all"))
    refused(run, 4, "the server does not let this user in: look at user, password and pg_hba.conf")


async def test_a_missing_database_is_exit_code_4(saga: Saga, postgres_url: PostgresUrl) -> None:
    url = f"{postgres_url.secret_text.rpartition('/')[0]}/no_such_database"
    run = await asyncio.to_thread(saga, "orchestrator", "--store", url)
    refused(run, 4, "there is no such database: create it, or name another in the URL")


async def test_a_role_that_may_not_make_the_schema_is_exit_code_4_and_makes_nothing(
    saga: Saga, postgres_url: PostgresUrl
) -> None:
    role = f"poor_{postgres_url.secret_text[-8:]}"
    connection = await asyncpg.connect(postgres_url.secret_text)
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    try:
        run = await asyncio.to_thread(saga, "orchestrator", "--store", as_user(postgres_url, role))
        refused(run, 4, "this role may not do that: grant it the rights that docs/operating.md lists")
        assert not await connection.fetchval("SELECT to_regnamespace('saga') IS NOT NULL")
    finally:
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()


async def test_another_products_schema_is_exit_code_4_and_stays_as_it_is(saga: Saga, postgres_url: PostgresUrl) -> None:
    connection = await asyncpg.connect(postgres_url.secret_text)
    await connection.execute("CREATE SCHEMA saga; CREATE TABLE saga.sagas (norse text)")
    run = await asyncio.to_thread(saga, "orchestrator", "--store", postgres_url.secret_text)
    refused(run, 4, "schema 'saga' has a table 'sagas' that is not ours: name another schema")
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'saga'")
    await connection.close()
    assert [name for (name,) in tables] == ["sagas"]


def test_a_server_that_has_no_connection_left_is_exit_code_5(saga: Saga, small: Server) -> None:
    async def crowded() -> Run:
        others = [await asyncpg.connect(small.url) for _ in range(4)]
        run = await asyncio.to_thread(saga, "orchestrator", "--store", small.url)
        for other in others:
            await other.close()
        return run

    refused(asyncio.run(crowded()), 5, "the server has no connection left: raise max_connections")


async def test_tables_are_made_by_whoever_may(saga: Saga, postgres_url: PostgresUrl) -> None:
    for _ in range(2):
        run = await asyncio.to_thread(saga, "store", "migrate", "--store", postgres_url.secret_text)
        assert (run.exit_code, run.err) == (0, "")
        assert run.out.endswith(f" is at schema version {newest_schema()}\n")
    run = await asyncio.to_thread(saga, "store", "migrate")
    refused(run, 2, "say where: --store postgresql://USER@HOST/DATABASE, or SAGA_STORE")


@pytest.mark.parametrize("command", ["orchestrator", "list"])
def test_without_its_driver_the_extra_is_named(saga: Saga, tmp_path: Path, command: str) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text("import sys; sys.modules['asyncpg'] = None", encoding="utf-8")
    hidden = f"{tmp_path / 'hidden'}:{ROOT}"
    run = saga(command, "--store", f"postgresql://me:{SECRET}@db/orders", stdin="", PYTHONPATH=hidden)
    refused(run, 2, "PostgreSQL needs asyncpg: pip install 'kafka-saga[postgres]'")
    assert "Traceback" not in run.err
