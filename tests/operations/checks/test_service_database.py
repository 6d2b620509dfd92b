"""What doctor finds in a service's own database, a file or a PostgreSQL that it is told of."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.checks import service_database
from kafka_saga.orchestrator.operations.checks.service_database import Database, judge_database, read_database
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.postgres import PostgresUrl
from tests.participants.adapters import new_schema
from tests.participants.shop import SCHEMA, Do, make_shop
from tests.postgres import PostgresUnderTest

COMMANDS = TopicPartition("shop.commands", 2)


@pytest.fixture
async def url(postgres: PostgresUnderTest) -> PostgresUrl:
    return await new_schema(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
async def at(request: pytest.FixtureRequest, tmp_path: Path) -> Path | PostgresUrl:
    """A database in which three commands were handled, and read up to offset 7."""
    database = tmp_path / "shop.db"
    where = database if request.param == "sqlite" else await new_schema(request.getfixturevalue("postgres"))
    async with await Harness.open(make_shop(), schema=SCHEMA, database=where) as harness:
        for number in range(3):
            await harness.send(Do(), saga_id=f"order-{number}", step="pay")
    store = await open_for(Opening(make_shop(), "two", SystemClock()), where)
    async with store.transaction():
        await store.move_offsets({}, {COMMANDS: 7}, 1)
    await store.close()
    return where


async def test_a_services_fence_and_offsets_are_read_wherever_they_are(at: Path | PostgresUrl) -> None:
    found = await read_database(at, "shop")
    assert found is not None
    assert (found.rows, found.offsets, found.owner, found.trouble) == (3, {COMMANDS: 7}, None, None)
    assert found.store_id
    finding = judge_database("shop", found, 12)
    assert (finding.verdict, finding.check) == ("ok", "database shop")
    assert finding.found == f"{at}: 3 rows in the fence, its offsets are 12 commands behind; nobody has it open"
    assert "behind" not in judge_database("shop", found, None).found, "Kafka was not asked"


async def test_a_fence_is_counted_so_far_and_no_further(
    at: Path | PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_database, "ROWS_COUNTED_MAX", 2)
    found = await read_database(at, "shop")
    assert found is not None
    assert "more than 2 rows in the fence" in judge_database("shop", found, 0).found


async def test_the_workers_that_have_it_open_are_named_and_no_others(url: PostgresUrl) -> None:
    async with await Harness.open(make_shop(), schema=SCHEMA, database=url):
        found = await read_database(url, "shop")
        others = await read_database(url, "shopping")
    assert found is not None
    assert others is not None
    assert (found.owner, others.owner) == ("a worker (saga shop tests)", None)


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE saga_fence (id int)",
        "CREATE TABLE saga_fence (id int); CREATE TABLE saga_meta (name int, value int)",
        "CREATE TABLE saga_fence (id int); CREATE TABLE saga_meta (key text, value text)",
    ],
)
async def test_another_programs_tables_of_these_names_are_told_in_a_line(url: PostgresUrl, tables: str) -> None:
    connection = await asyncpg.connect(url.secret_text)
    await connection.execute(tables)
    await connection.close()
    found = await read_database(url, "shop")
    assert found is not None
    finding = judge_database("shop", found, None)
    assert finding.verdict == "wrong"
    assert "its table saga_fence is not the guard's" in finding.remedy


async def test_a_database_without_the_guards_tables_is_a_note(url: PostgresUrl) -> None:
    found = await read_database(url, "shop")
    assert found is not None
    finding = judge_database("shop", found, 3)
    assert finding.verdict == "note"
    assert finding.found == f"{url} has no tables of the guard; nobody has it open"


async def test_a_role_that_may_only_read_the_guards_tables_is_enough(url: PostgresUrl) -> None:
    async with await Harness.open(make_shop(), schema=SCHEMA, database=url) as harness:
        await harness.send(Do(), saga_id="order-1", step="pay")
    server = await asyncpg.connect(url.secret_text)
    schema = await server.fetchval("SELECT current_schema()")
    role = f"reads_{schema}"
    await server.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}")
    theirs = PostgresUrl(url.secret_text.replace("//saga@", f"//{role}@"))
    try:
        refused = await read_database(theirs, "shop")
        assert refused is not None
        assert isinstance(refused.trouble, StoreRefusedError)
        assert judge_database("shop", refused, 0).verdict == "wrong"
        await server.execute(f"GRANT SELECT ON saga_fence, saga_offsets, saga_meta TO {role}")
        found = await read_database(theirs, "shop")
        assert found is not None
        assert found.rows == 1
    finally:
        await server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await server.close()


async def test_a_server_that_does_not_answer_is_unreachable_and_its_password_untold() -> None:
    nowhere = PostgresUrl("postgresql://shop:secret@127.0.0.1:1/none")
    found = await read_database(nowhere, "shop")
    assert found is not None
    assert isinstance(found.trouble, StoreUnavailableError)
    finding = judge_database("shop", found, None)
    assert (finding.verdict, finding.found) == ("unreachable", f"{nowhere} cannot be read")
    assert "secret" not in str(finding)


async def test_a_file_that_is_no_database_still_tells_who_holds_it(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("dear diary")
    found = await read_database(tmp_path / "shop.db", "shop")
    assert found is not None
    assert found.rows is None
    assert judge_database("shop", found, 0).verdict == "wrong"
    assert await read_database(tmp_path / "nothing.db", "shop") is None


def test_a_database_that_nobody_began_is_a_note() -> None:
    assert judge_database("shop", Database(Path("shop.db"), "participant shop (process 7)"), 0).found == (
        "shop.db has no tables of the guard; participant shop (process 7) has it open"
    )
