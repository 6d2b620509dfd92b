from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

from deploy.postgres.postgres import running_server
from kafka_saga.runtime.errors import ConfigError, SagaError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.postgres import (
    PostgresUrl,
    SessionLimits,
    check_schema_name,
    connect,
    is_postgres_url,
    translated_errors,
)
from kafka_saga.runtime.postgres_migrations import migrate
from tests.postgres import PostgresUnderTest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me@db/saga", "postgresql://me@db/saga"),
        ("postgres://me:secret@db:5433/saga", "postgres://me:***@db:5433/saga"),
        ("postgresql://me:p%40ss@a:1,b:2/saga?sslmode=require", "postgresql://me:***@a:1,b:2/saga?sslmode=require"),
        ("postgresql://db/saga?user=me&password=secret", "postgresql://db/saga?user=me&password=***"),
        ("postgresql://db/saga?Password=secret", "postgresql://db/saga?Password=***"),
        ("postgresql://me:secret@[::1]:5432/saga", "postgresql://me:***@[::1]:5432/saga"),
        ("postgresql:///saga?host=/run/postgresql", "postgresql:///saga?host=/run/postgresql"),
    ],
)
def test_a_url_is_shown_without_its_secrets(text: str, shown: str) -> None:
    url = PostgresUrl(f" {text}\n")
    assert (url.shown, str(url), url.secret_text) == (shown, shown, text)
    assert repr(url) == f"PostgresUrl({shown})"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mysql://me:secret@db/saga", "'mysql://' is not understood"),
        ("postgresql+asyncpg://me:secret@db/saga", "'postgresql\\+asyncpg://' is not understood"),
        ("db/saga:secret", "it has no 'postgresql://' in front"),
        ("postgresql://me:secret@db:54x32/saga", "there is no number"),
        ("postgresql://me:secret@db:0/saga", "there is no number"),
        ("postgresql://me:secret@[::1/saga", "cannot be read"),
        ("postgresql://me:sec/ret@db/saga", "has a '/' in it"),
        ("postgresql://me:12/sec@db/saga", "has a '/' in it"),
        ("postgresql://me:12@sec@db/saga", "has an '@' in it"),
        ("postgresql://me:12?sec@db/saga", "has a '\\?' in it"),
        ("postgresql://me:12?s=ec@db/saga", "has a '\\?' in it"),
        ("postgresql://me:12#sec@db/saga", "has a '#' in it"),
        ("postgresql:/me:secret@db/saga", "it has no '//'"),
        ("postgres:me:secret@db/saga", "it has no '//'"),
        ("postgresql//me:secret@db/saga", "it has no 'postgresql://' in front"),
    ],
)
def test_a_wrong_url_is_refused_with_the_form_to_write_and_without_its_secrets(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        PostgresUrl(text)
    assert "write postgresql://USER" in str(caught.value)
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("postgresql://db/saga", True),
        ("postgres://db/saga", True),
        ("POSTGRESQL+asyncpg://db/saga", True),
        ("postgresql:/me:secret@db/saga", True),
        ("postgresql//me:secret@db/saga", True),
        ("postgres/orders.db", False),
        ("postgresql.db", False),
        ("/var/lib/saga/orchestrator.db", False),
        ("sqlite:///orchestrator.db", False),
    ],
)
def test_a_url_is_told_from_a_path(text: str, is_one: bool) -> None:
    assert is_postgres_url(text) is is_one


def test_capitals_in_a_urls_scheme_are_understood() -> None:
    assert PostgresUrl("POSTGRESQL://me:secret@db/saga").shown.lower().startswith("postgresql://me:***@db")


@pytest.mark.parametrize("name", ["Saga", "my-saga", "", "pg_saga", "saga;drop", "9s", "s" * 64])
def test_a_schema_name_that_would_need_quotes_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no schema name of ours"):
        check_schema_name(name)


async def test_a_session_has_its_limits_and_no_jit(postgres_url: PostgresUrl) -> None:
    limits = SessionLimits(statement_timeout_ms=1_500, lock_timeout_ms=100, idle_in_transaction_ms=4_000)
    connection = await connect(postgres_url, application="saga test", limits=limits)
    names = ["application_name", "jit", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    names.append("tcp_user_timeout")
    found = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]
    await connection.close()
    assert found == ["saga test", "off", "1500ms", "100ms", "4s", "10000"]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    url = PostgresUrl("postgresql://me:secret@127.0.0.1:1/saga")
    with pytest.raises(StoreUnavailableError, match=r"does not answer .*: is PostgreSQL running there") as caught:
        await connect(url, application="saga test")
    assert "secret" not in str(caught.value)


async def test_of_several_hosts_the_one_that_can_be_written_is_taken(postgres_url: PostgresUrl) -> None:
    url = PostgresUrl(postgres_url.secret_text.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1", 1))
    connection = await connect(url, application="saga test")
    assert await connection.fetchval("SELECT NOT pg_is_in_recovery()")
    await connection.close()


async def test_a_database_that_is_not_there_is_refused_with_what_to_do(postgres_url: PostgresUrl) -> None:
    url = PostgresUrl(f"{postgres_url.secret_text}_other")
    with pytest.raises(StoreRefusedError, match="there is no such database: create it"):
        await connect(url, application="saga test")


async def test_a_user_that_is_not_there_is_refused(postgres_url: PostgresUrl) -> None:
    url = PostgresUrl(postgres_url.secret_text.replace("://", "://nobody_here:secret@").replace("saga@", "", 1))
    with pytest.raises(StoreRefusedError, match="look at user, password") as caught:
        await connect(url, application="saga test")
    assert "secret" not in str(caught.value)


async def test_a_wrong_parameter_of_the_url_is_an_error_of_the_settings(postgres_url: PostgresUrl) -> None:
    url = PostgresUrl(f"{postgres_url.secret_text}?sslmode=perhaps")
    with pytest.raises(ConfigError, match="sslmode"):
        await connect(url, application="saga test")


async def test_a_table_that_somebody_holds_locked_is_unavailable(postgres_url: PostgresUrl) -> None:
    holder = await connect(postgres_url, application="saga test")
    reader = await connect(postgres_url, application="saga test", limits=SessionLimits(lock_timeout_ms=50))
    await holder.execute("CREATE TABLE held (a int)")
    async with holder.transaction():
        await holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        refused = pytest.raises(StoreUnavailableError, match="another session holds a table locked")
        with refused, translated_errors(postgres_url):
            await reader.fetch("SELECT * FROM held")
    await reader.close()
    await holder.close()


@pytest.mark.parametrize("parameter", ["nonsense=1", "work_mem=lots", "search_path=%22"])
async def test_a_parameter_that_the_server_does_not_take_is_one_too(postgres_url: PostgresUrl, parameter: str) -> None:
    url = PostgresUrl(f"{postgres_url.secret_text}?{parameter}")
    with pytest.raises(ConfigError, match=f"parameter of the URL.*{parameter.partition('=')[0]}"):
        await connect(url, application="saga test")


async def test_a_server_without_connections_left_is_unavailable(postgres: PostgresUnderTest) -> None:
    if postgres.server is None:
        pytest.skip("needs a server of its own; this run has somebody else's")
    with running_server("max_connections=4", "superuser_reserved_connections=0") as server:
        url = PostgresUrl(server.url)
        held = [await connect(url, application="saga test") for _ in range(4)]
        with pytest.raises(StoreUnavailableError, match="raise max_connections"):
            await connect(url, application="saga test")
        for connection in held:
            await connection.close()


async def test_without_tls_on_the_server_a_url_that_asks_for_it_is_told(postgres_url: PostgresUrl) -> None:
    url = PostgresUrl(f"{postgres_url.secret_text}?sslmode=require")
    with pytest.raises(StoreRefusedError, match="the server has none: turn it on there"):
        await connect(url, application="saga test")


async def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = PostgresUrl(f"postgresql://saga@127.0.0.1:1/saga?sslmode=verify-full&sslrootcert={tmp_path}/root.crt")
    with pytest.raises(ConfigError, match=r"sslrootcert .*/root.crt cannot be read: No such file"):
        await connect(url, application="saga test")


async def test_without_the_driver_the_extra_is_named(
    postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"pip install 'kafka-saga\[postgres\]'"):
        await connect(postgres_url, application="saga test")


# --- migrations

FIRST = "-- compatible_from: 1\nCREATE TABLE {schema}.thing (a int);"
SECOND = "-- compatible_from: 1\nALTER TABLE {schema}.thing ADD b int DEFAULT 0;"
BREAKING = "-- compatible_from: 3\nALTER TABLE {schema}.thing DROP a;"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with migrations, which a test fills; called `steps_of_a_test`."""
    folder = tmp_path / "steps_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def _write(package: Path, *texts: str) -> None:
    for file in package.glob("*.sql"):
        file.unlink()
    for number, text in enumerate(texts, start=1):
        (package / f"{number:04}_step.sql").write_text(text, encoding="utf-8")


async def _migrate(url: PostgresUrl, package: Path, schema: str = "saga", at_work: str | None = None) -> int:
    connection = await connect(url, application="saga test")
    try:
        return await migrate(connection, package.name, url=url, schema=schema, at_work=at_work)
    finally:
        await connection.close()


async def _columns(url: PostgresUrl, schema: str = "saga") -> list[str]:
    connection = await connect(url, application="saga test")
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = $1 AND table_name = 'thing' ORDER BY ordinal_position",
        schema,
    )
    await connection.close()
    return [name for (name,) in rows]


async def test_a_schema_is_made_and_brought_up_to_date_by_many_at_once(
    postgres_url: PostgresUrl, package: Path
) -> None:
    _write(package, FIRST)
    assert await asyncio.gather(*(_migrate(postgres_url, package) for _ in range(5))) == [1] * 5
    _write(package, FIRST, SECOND)
    assert await asyncio.gather(*(_migrate(postgres_url, package) for _ in range(5))) == [2] * 5
    assert await _columns(postgres_url) == ["a", "b"]


async def test_two_schemas_of_one_database_know_nothing_of_each_other(postgres_url: PostgresUrl, package: Path) -> None:
    _write(package, FIRST)
    assert [await _migrate(postgres_url, package, schema) for schema in ("one", "two")] == [1, 1]
    assert await _columns(postgres_url, "one") == await _columns(postgres_url, "two") == ["a"]


async def test_an_older_program_runs_on_a_newer_schema_until_that_says_it_cannot(
    postgres_url: PostgresUrl, package: Path
) -> None:
    _write(package, FIRST, SECOND)
    await _migrate(postgres_url, package)
    _write(package, FIRST)
    assert await _migrate(postgres_url, package) == 2, "an expansion stops nobody"
    _write(package, FIRST, SECOND, BREAKING)
    await _migrate(postgres_url, package)
    _write(package, FIRST, SECOND)
    with pytest.raises(StoreRefusedError, match="needs a kafka-saga that knows version 3, this one knows 2"):
        await _migrate(postgres_url, package)


async def test_a_step_that_would_end_older_programs_waits_until_none_is_at_work(
    postgres_url: PostgresUrl, package: Path
) -> None:
    at_work = "SELECT 'pod-' || a FROM {schema}.thing WHERE a < $1 ORDER BY 1"
    _write(package, FIRST, SECOND)
    await _migrate(postgres_url, package, at_work=at_work)
    connection = await connect(postgres_url, application="saga test")
    try:
        await connection.execute("INSERT INTO saga.thing VALUES (1), (2), (3)")
        _write(package, FIRST, SECOND, BREAKING)
        with pytest.raises(StoreRefusedError, match="an older kafka-saga are at work: stop 'pod-1', 'pod-2', or give"):
            await _migrate(postgres_url, package, at_work=at_work)
        assert await _columns(postgres_url) == ["a", "b"]
        await connection.execute("DELETE FROM saga.thing WHERE a < 3")
        assert await _migrate(postgres_url, package, at_work=at_work) == 3
    finally:
        await connection.close()


async def test_a_step_that_fails_leaves_nothing_behind(postgres_url: PostgresUrl, package: Path) -> None:
    _write(package, FIRST + "SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _migrate(postgres_url, package)
    _write(package, FIRST)
    assert await _migrate(postgres_url, package) == 1


@pytest.mark.parametrize("table", ["thing", "migrations"])
async def test_a_schema_of_another_product_is_refused_and_left_as_it_is(
    postgres_url: PostgresUrl, package: Path, table: str
) -> None:
    _write(package, FIRST)
    connection = await connect(postgres_url, application="saga test")
    await connection.execute(f"CREATE TABLE public.{table} (z int)")
    with pytest.raises(StoreRefusedError, match=f"has a table '{table}' that is not ours: name another schema"):
        await _migrate(postgres_url, package, "public")
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == 1


async def test_a_role_without_rights_may_start_on_a_schema_that_is_up_to_date_only(
    postgres_url: PostgresUrl, package: Path
) -> None:
    _write(package, FIRST)
    role = f"plain_{postgres_url.secret_text[-8:]}"
    connection = await connect(postgres_url, application="saga test")
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    url = PostgresUrl(postgres_url.secret_text.replace("saga@", f"{role}:secret@", 1))
    try:
        with pytest.raises(SagaError, match="grant it the rights") as caught:
            await _migrate(url, package)
        assert caught.value.exit_code == StoreRefusedError.exit_code
        await _migrate(postgres_url, package)
        await connection.execute(f"GRANT USAGE ON SCHEMA saga TO {role}")
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA saga TO {role}")
        assert await _migrate(url, package) == 1
    finally:
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await connection.close()
