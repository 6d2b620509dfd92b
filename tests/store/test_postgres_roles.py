"""The roles of docs/operating.md, made by its own statements: each may do its work, and no more (R76)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.store.act_rows import insert_row
from kafka_saga.orchestrator.store.beside import open_to_read, open_to_write
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.postgres.schema import migrate_store
from kafka_saga.orchestrator.store.postgres.store import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.stores import NOW, cancel, move, new_saga, start, stored

GUIDE = Path(__file__).parents[2] / "docs" / "operating.md"
PASSWORD = "for-this-test"
At = Callable[[str], PostgresLocation]


@pytest.fixture
async def at(postgres_url: PostgresUrl) -> AsyncIterator[At]:
    """Where the store is, for each role of the guide. Roles are the whole server's, so these get names of their own."""
    mark = postgres_url.secret_text[-8:]
    [sql] = re.findall(r"```sql\n(CREATE ROLE saga_migrate.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for role in ("saga_migrate", "saga_run", "saga_read"):
        sql = sql.replace(role, f"{role}_{mark}")
    administrator = await asyncpg.connect(postgres_url.secret_text)
    await administrator.execute(sql.replace("'...'", f"'{PASSWORD}'"))

    def as_role(role: str) -> PostgresLocation:
        host = postgres_url.secret_text.rpartition("@")[2]
        return PostgresLocation(PostgresUrl(f"postgresql://{role}_{mark}:{PASSWORD}@{host}"))

    await migrate_store(as_role("saga_migrate"))
    yield as_role
    for role in ("saga_read", "saga_run", "saga_migrate"):
        await administrator.execute(f"DROP OWNED BY {role}_{mark} CASCADE; DROP ROLE {role}_{mark}")
    await administrator.close()


async def test_an_orchestrators_role_advances_sagas_and_changes_no_table(at: At) -> None:
    store = await open_store(at("saga_run"), SystemClock())
    await store.members.join(Joining("a", "1.0", "[]", 1_000, 1))
    store.members.own(Lanes(1, frozenset({0})))
    await start(store, new_saga())
    after = await move(store, Admitted())
    async with store.locked([after.ref]):
        assert await stored(store) == after
    await store.members.inherit()
    await store.members.leave()
    await store.close()
    await _is_denied(at("saga_run"), "ALTER TABLE saga.sagas ADD COLUMN more text")
    await _is_denied(at("saga_run"), "CREATE TABLE saga.more (a int)")


async def test_an_orchestrators_role_sends_verbs(at: At) -> None:
    queue = await open_to_write(at("saga_run"))
    await queue.queue_acts([insert_row(cancel("act-1"), NOW)])
    await queue.close()


async def test_a_readers_role_reads_and_writes_nothing(at: At) -> None:
    tables = await open_to_read(at("saga_read"))
    assert await tables.fetch_all("count_states") == []
    await tables.close()
    await _is_denied(at("saga_read"), "DELETE FROM saga.sagas")
    await _is_denied(at("saga_read"), "UPDATE saga.settings SET number = 0")


@pytest.mark.parametrize("role", ["saga_run", "saga_read"])
async def test_who_does_not_own_the_tables_may_not_make_them(at: At, role: str) -> None:
    elsewhere = PostgresLocation(at(role).url, "another")
    with pytest.raises(StoreRefusedError, match="grant it the rights that docs"):
        await migrate_store(elsewhere)


async def _is_denied(at: PostgresLocation, sql: str) -> None:
    connection = await asyncpg.connect(at.url.secret_text)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(sql)
    await connection.close()
