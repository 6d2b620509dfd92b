"""What `saga doctor` finds out about a store on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.checks.examination import examine_without_definitions
from kafka_saga.orchestrator.operations.checks.finding import Finding
from kafka_saga.orchestrator.operations.checks.server import (
    TRANSACTION_AGE_MS_MAX,
    check_server,
    check_tables,
    what_holds_timers,
)
from kafka_saga.orchestrator.operations.store.size import check_size
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.beside import open_to_read
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres.schema import newest_schema
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.stores import NOW
from tests.machine.worlds import plain_saga
from tests.store.beside import fill, moved

LIVE = """WITH new AS (INSERT INTO saga.replicas (name, state, program, definitions, began_at, clock, batch, unsent)
          VALUES ($1, $2, '1.0', '[]', 0, 1700000000000, 7, $3) RETURNING replica)
          INSERT INTO saga.beats SELECT replica, 1 FROM new"""


@pytest.fixture
async def at(tmp_path: Path, postgres_url: PostgresUrl) -> PostgresLocation:
    await fill(tmp_path / "orchestrator.db")
    return await moved(tmp_path / "orchestrator.db", PostgresLocation(postgres_url))


@pytest.fixture
async def server(at: PostgresLocation) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(at.url.secret_text)
    yield connection
    await connection.close()


class Beating(SystemClock):
    """While doctor waits for a beat, these replicas have one."""

    def __init__(self, server: asyncpg.Connection, *names: str) -> None:
        super().__init__()
        self._server, self._names = server, names

    async def sleep(self, duration_ms: int) -> None:
        ours = "SELECT replica FROM saga.replicas WHERE name = ANY($1)"
        beat = f"UPDATE saga.beats SET beat = beat + 1 WHERE replica IN ({ours})"
        await self._server.execute(beat, self._names)
        await super().sleep(duration_ms)


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


async def test_a_store_is_described_with_its_server_and_who_wrote_it(at: PostgresLocation) -> None:
    findings, readable = await check_server(at, Registry([plain_saga]), SystemClock())
    assert readable
    [store] = of(findings, "store")
    assert (store.verdict, "PostgreSQL " in store.found, f"schema version {newest_schema()}" in store.found) == (
        "ok",
        True,
        True,
    )
    nobody, file = of(findings, "orchestrator")
    assert (nobody.verdict, nobody.found) == ("note", "none runs on this store")
    assert "copied from orchestrator.db (life 1): gone; its last batch is number" in file.found
    assert "2 messages not published since" in file.found
    assert [finding.details for finding in of(findings, "versions")] == [{"missing": ["order v1"]}]


async def test_a_server_that_may_lose_what_it_committed_is_wrong(
    at: PostgresLocation, server: asyncpg.Connection
) -> None:
    safe = await server.fetchval(
        "SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'"
    )
    findings, _ = await check_server(at, None, SystemClock())
    assert [finding.verdict for finding in of(findings, "durability")] == ["ok" if safe else "wrong"]


async def test_lives_are_told_by_their_beats_and_by_what_they_left_R61(
    at: PostgresLocation, server: asyncpg.Connection
) -> None:
    for life in (("pod-1", "live", 0), ("pod-2", "live", 3), ("pod-3", "dead", 0)):
        await server.execute(LIVE, *life)
    findings, _ = await check_server(at, None, Beating(server, "pod-1"))
    told = {finding.details["name"]: finding for finding in of(findings, "orchestrator")}
    assert (told["pod-1"].verdict, "alive; its last batch is number 7, of 2023-" in told["pod-1"].found) == ("ok", True)
    assert (told["pod-2"].verdict, "no sign of life" in told["pod-2"].found) == ("note", True)
    assert (told["pod-3"].verdict, "(life 4): dead" in told["pod-3"].found) == ("note", True)
    assert told["copied from orchestrator.db"].verdict == "warning", "what it left nobody has taken over"


async def test_scattered_topics_are_named_R66(at: PostgresLocation, server: asyncpg.Connection) -> None:
    await server.execute(
        "INSERT INTO saga.topics VALUES ('payment.replies', 4, 0, true), ('orders.replies', 4, 0, false)"
    )
    findings, _ = await check_server(at, None, SystemClock())
    assert [finding.details["topics"] for finding in of(findings, "scattered topics")] == [["payment.replies"]]


async def test_what_holds_timers_everywhere_is_named_R70(at: PostgresLocation, server: asyncpg.Connection) -> None:
    tables = await open_to_read(at)
    found = await what_holds_timers(tables, ["order.replies", "payment.replies"], NOW)
    assert found is not None
    assert found.details["reasons"][:2] == [
        "the partitions of order.replies were not counted since",
        "the partitions of payment.replies were not counted since",
    ]
    assert "messages of copied from orchestrator.db (life 1, gone) are not published" in found.details["reasons"][2]
    await server.execute("INSERT INTO saga.topics VALUES ('order.replies', 2, $1), ('payment.replies', 1, $1)", NOW)
    await server.execute("UPDATE saga.outbox SET topic = 'order.events'")  # refused there: no other topic's concern
    await server.execute("UPDATE saga.offsets SET drained_at = $1 WHERE topic = 'order.replies'", NOW)
    found = await what_holds_timers(tables, ["order.replies", "payment.replies"], NOW)
    assert found is not None
    assert found.details["partitions"] == [["order.replies", 1], ["payment.replies", 0]]
    await server.execute(
        "INSERT INTO saga.offsets VALUES ('order.replies', 1, NULL, $1), ('payment.replies', 0, 0, $1)", NOW
    )
    assert await what_holds_timers(tables, ["order.replies", "payment.replies"], NOW) is None
    await tables.close()


async def test_a_transaction_that_stays_open_is_a_warning(
    at: PostgresLocation, server: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.operations.checks.server.TRANSACTION_AGE_MS_MAX", -1)
    assert TRANSACTION_AGE_MS_MAX > 10_000
    async with server.transaction():
        pid = await server.fetchval("SELECT pg_backend_pid()")
        findings, _ = await check_server(at, None, SystemClock())
    [found] = of(findings, "transactions")
    assert (found.verdict, found.details["pid"]) == ("warning", pid)


async def test_sizes_are_told_table_by_table(at: PostgresLocation) -> None:
    tables, *_ = await check_tables(at)
    assert "sagas" in tables.details["tables"]
    size, *rest = await check_size(at, NOW, 30_000)
    assert size.found == "8 sagas, 3 purged"
    assert [finding.check for finding in rest] == ["tables", "oldest unfinished", "retention"]


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        ("INSERT INTO saga.migrations VALUES (99, 'later', 99)", "wrong", "schema version 99"),
        ("DELETE FROM saga.migrations WHERE number > 1", "note", "schema version 1"),
        ("DROP SCHEMA saga CASCADE", "note", "there is no store in schema 'saga'"),
        ("DROP SCHEMA saga CASCADE; CREATE SCHEMA saga; CREATE TABLE saga.a ()", "wrong", "not a kafka-saga store"),
    ],
)
async def test_a_store_that_cannot_be_read_is_said(
    at: PostgresLocation, server: asyncpg.Connection, change: str, verdict: str, said: str
) -> None:
    await server.execute(change)
    [finding], may_be_asked = await check_server(at, None, SystemClock())
    assert (finding.verdict, said in finding.found, may_be_asked) == (verdict, True, False)


async def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    nowhere = PostgresLocation(PostgresUrl("postgresql://saga:secret@127.0.0.1:1/none"))
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    findings = await examine_without_definitions(kafka, nowhere, tmp_path, SystemClock(), None)
    [store] = of(findings, "store")
    assert store.verdict == "unreachable"
    assert "secret" not in str(findings)
