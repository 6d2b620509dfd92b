"""Readers, acts and purges beside the replicas on PostgreSQL: the answers of a file, and nobody is disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import asyncpg
import pytest

from kafka_saga.orchestrator.operations.store.purging import purge as purge_store
from kafka_saga.orchestrator.store import purging
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.beside import open_to_write
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.owners import BeatingReplicas
from kafka_saga.orchestrator.store.postgres.schema import migrate_store
from kafka_saga.orchestrator.store.postgres.tables import PostgresTables, connect_tables
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import Asker, Purge, QueuedPurge
from kafka_saga.orchestrator.store.vitals import read_vitals, unpublished_since
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import NotFoundError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import NOW, SetClock, cancel
from tests.store.beside import fill, moved

ANN = Asker("ann", "old")


@pytest.fixture
async def at(path: Path, postgres_url: PostgresUrl) -> PostgresLocation:
    await fill(path)
    return await moved(path, PostgresLocation(postgres_url))


@pytest.fixture
async def reader(at: PostgresLocation) -> AsyncIterator[StoreReader]:
    reader = await StoreReader.open(at)
    yield reader
    await reader.close()


@pytest.fixture
async def server(at: PostgresLocation) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else who is connected."""
    connection = await asyncpg.connect(at.url.secret_text)
    yield connection
    await connection.close()


async def everything(reader: StoreReader) -> dict[str, object]:
    """Every answer that a reader gives."""
    sagas = await reader.newest(Filter(limit=100))
    return {
        "sagas": sagas,
        "logs": [await reader.log(saga) for saga in sagas],
        "found": [(await reader.find(saga.ref.saga_id), await reader.get(saga.ref)) for saga in sagas],
        "prefix": await reader.find_by_prefix("order-", None, 3),
        "purged": await reader.find_purged("old-1"),
        "purgeable": await reader.count_purgeable(Purge(NOW)),
        "counts": (await reader.count_all(), await reader.count_purged(), await reader.next_key()),
        "states": (await reader.count_unfinished(), await reader.count_by_state(), await reader.count_held()),
        "oldest": await reader.oldest_unfinished(),
        "open": await reader.open_keys(100),
        "ended": (await reader.ended_among(set(), 0, 1_000), await reader.ended_among({sagas[-1].row}, 0, 0)),
        "purge": await reader.purge("p-1"),
        "acts": (await reader.acts(10), await reader.acts(10, waiting=True), await reader.acts(10, saga_id="order-3")),
        "by id": await reader.acts_by_id(["act-1", "nonesuch"]),
        "pauses": await reader.pauses(),
        "durations": await reader.durations(10),
        "meta": await reader.meta(),
        "definitions": (await reader.definitions(), await reader.unfinished_versions()),
        "outbox": (await reader.outbox_age(), await unpublished_since(reader, "c-1")),
        "vitals": replace(vitals := await read_vitals(reader, NOW), outbox=vitals.outbox._replace(oldest_id=None)),
        "filtered": [
            await reader.newest(Filter(started_from=NOW - 30_000, started_before=NOW)),
            await reader.newest(Filter(error="CARD")),
            await reader.newest(Filter(saga_type="order", held=True)),
            await reader.newest(Filter(before_row=sagas[2].row, limit=2)),
        ],
    }


async def test_a_reader_gives_the_same_answers_as_of_the_file(path: Path, postgres_url: PostgresUrl) -> None:
    await fill(path)
    of_file = await StoreReader.open(path)
    expected = await everything(of_file)
    await of_file.close()
    reader = await StoreReader.open(await moved(path, PostgresLocation(postgres_url)))
    found = await everything(reader)
    await reader.close()
    outages = ("outage", "outage_ended_at")  # of a life, there
    expected["meta"] = {name: value for name, value in dict(expected["meta"]).items() if name not in outages}
    for name, answer in expected.items():
        assert found[name] == answer, name


async def test_a_saga_that_is_not_there_or_gone_is_not_found(reader: StoreReader) -> None:
    with pytest.raises(NotFoundError, match=r"there is no saga 'nonesuch'"):
        await reader.find("nonesuch")
    with pytest.raises(NotFoundError, match="was purged on"):
        await reader.find("old-1")


async def test_a_reader_cannot_write_and_ends_by_itself_R24(reader: StoreReader) -> None:
    assert isinstance(reader.tables, PostgresTables)
    connection = reader.tables.connection
    with pytest.raises(StoreUnavailableError, match="read-only transaction"):
        await reader.tables.fetch_all("purge_sagas", ("[1]",))
    assert await connection.fetchval("SHOW default_transaction_read_only") == "off", "a pooler hands the session on"
    for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert await connection.fetchval("SELECT current_setting($1)", setting) != "0"
    assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()") <= 2


async def test_the_role_that_may_only_read_is_enough_for_a_reader(
    server: asyncpg.Connection, at: PostgresLocation
) -> None:
    role = f"reads_{at.url.secret_text[-10:]}"
    await server.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA saga TO {role};")
    await server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA saga TO {role}")
    theirs = PostgresLocation(PostgresUrl(at.url.secret_text.replace("//saga@", f"//{role}@")))
    try:
        reader = await StoreReader.open(theirs)
        assert len(await reader.newest(Filter(limit=100))) == 8
        await reader.close()
        queue = await ActQueue.open(theirs)
        with pytest.raises(StoreRefusedError, match="this role may not do that"):
            await queue.send([cancel("act-9")], NOW)
        await queue.close()
    finally:
        await server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_acts_carry_their_lane_and_are_announced_once_they_are_there_R74(
    at: PostgresLocation, server: asyncpg.Connection
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await server.add_listener("saga_acts", lambda _connection, _pid, channel, _payload: heard.put_nowait(channel))
    queue = await ActQueue.open(at)
    assert (
        await queue.send([cancel("act-7", "order-1"), cancel("act-8", "order-2"), cancel("act-7", "order-1")], NOW) == 2
    )
    assert await queue.send([cancel("act-7", "order-1")], NOW) == 0
    await queue.close()
    assert await asyncio.wait_for(heard.get(), 30) == "saga_acts"
    rows = await server.fetch("SELECT act_id, hash FROM saga.acts WHERE act_id IN ('act-7', 'act-8') ORDER BY 1")
    assert [tuple(row) for row in rows] == [("act-7", crc32(b"order-1")), ("act-8", crc32(b"order-2"))]


async def test_text_that_the_server_does_not_take_is_sent_without_what_it_minds(at: PostgresLocation) -> None:
    queue, reader = await ActQueue.open(at), await StoreReader.open(at)
    queued = cancel("act-9")
    reason = "a\0b\ud800c"
    assert await queue.send([replace(queued, act=replace(queued.act, reason=reason))], NOW) == 1
    assert (await reader.acts_by_id(["act-9"]))["act-9"].reason == "abc"
    await queue.close()
    await reader.close()


async def test_an_error_with_a_zero_byte_in_it_stops_no_list(at: PostgresLocation, server: asyncpg.Connection) -> None:
    """PostgreSQL reads no JSON that has one, where it is asked for a part of it."""
    parked = r'{"reason":"compensation_failed","from_state":"COMPENSATING","detail":"bad\u0000thing \\u0000"}'
    park = "UPDATE saga.sagas SET state = 'PARKED', wake_at = NULL, parked = $1 WHERE saga_id = 'order-3'"
    await server.execute(park, parked)
    reader = await StoreReader.open(at)
    assert [saga.ref.saga_id for saga in await reader.newest(Filter(error="THING"))] == ["order-3"]
    assert dict(await reader.tables.fetch_all("parked_reasons", (10,))) == {"compensation_failed": 1}
    assert "thing" in str([ended.error for ended in await reader.ended_among(set(), 0, 1_000)])
    await reader.close()


# --- purging --------------------------------------------------------------------------------------


async def purge(at: PostgresLocation, before: int) -> int:
    return await purge_store(at, QueuedPurge("p-2", Purge(before)), ANN, SystemClock(), lambda _done: None)


async def test_a_purge_takes_what_ended_and_its_log_and_leaves_its_identity_R29(
    at: PostgresLocation, server: asyncpg.Connection, reader: StoreReader
) -> None:
    assert await purge(at, NOW - 35_000) == 1
    gone = await reader.find_purged("ended-1")
    assert gone is not None
    assert (gone.ref, await reader.purge("p-2")) == (SagaRef("order", "ended-1"), (1, True))
    orphans = "SELECT count(*) FROM saga.step_log WHERE saga_key NOT IN (SELECT saga_key FROM saga.sagas)"
    assert await server.fetchval(orphans) == 0
    assert await server.fetchval("SELECT count(*) FROM saga.acts WHERE act_id = 'act-3'") == 1, "nobody decided it"


async def test_a_saga_that_somebody_looks_at_is_not_waited_for_R75(
    at: PostgresLocation, server: asyncpg.Connection
) -> None:
    async with server.transaction():
        await server.execute("SELECT 1 FROM saga.sagas WHERE saga_id = 'ended-1' FOR SHARE")
        assert await purge(at, NOW) == 0
    assert await purge_store(at, QueuedPurge("p-3", Purge(NOW)), ANN, SystemClock(), lambda _done: None) == 1


async def test_only_one_purges_at_a_time_and_the_other_goes_on_later_R75(at: PostgresLocation) -> None:
    queued = QueuedPurge("p-2", Purge(NOW))
    first, second = await open_to_write(at), await open_to_write(at)
    await purging.queue(first, queued, ANN, NOW)
    async with first.transaction():
        assert await first.fetch_all("upkeep_turn") == [(True,)]
        step = await purging.purge(second, queued, 100, NOW)
        assert (step.purged, step.next_key) == (0, queued.from_key)
        assert await purging.forget_purged(second, NOW + 1, 100) == 0
    assert (await purging.purge(second, queued, 100, NOW)).purged == 1
    assert (await purging.purge(first, queued, 100, NOW)).next_key is None, "it is done"
    await first.close()
    await second.close()


async def test_keys_and_times_grow_together_only_roughly_R75(
    at: PostgresLocation, server: asyncpg.Connection, reader: StoreReader
) -> None:
    """The saga with the smallest key was accepted last, by a replica whose transaction took long."""
    key = await server.fetchval("SELECT min(saga_key) FROM saga.sagas")
    await server.execute("UPDATE saga.sagas SET created_at = $1 WHERE saga_key = $2", NOW + 30_000, key)
    recent = await reader.newest(Filter(started_from=NOW + 1))
    assert [saga.row for saga in recent] == [key]
    assert key not in [saga.row for saga in await reader.newest(Filter(started_before=NOW + 1, limit=100))]
    await server.execute("UPDATE saga.sagas SET state = 'COMPLETED', wake_at = NULL WHERE saga_id = 'order-4'")
    await server.execute("UPDATE saga.sagas SET updated_at = $1", NOW)
    assert await reader.count_purgeable(Purge(NOW + 1)) == 2
    assert await purge(at, NOW + 1) == 2, "one young saga does not end the walk"


# --- who works on it ------------------------------------------------------------------------------


class Watching(SetClock):
    """While it is waited, what is to happen happens."""

    def __init__(self, tables: PostgresTables, beats: bool) -> None:
        super().__init__()
        self._tables, self._beats = tables, beats

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep(self, duration_ms: int) -> None:
        self.at_ms += duration_ms
        if self._beats:
            await self._tables.connection.execute("UPDATE saga.beats SET beat = beat + 1 WHERE replica > 1")


LIVE = """WITH new AS (INSERT INTO saga.replicas (name, program, definitions, began_at, clock)
          VALUES ('pod-1', '1.0', '[]', 0, 0) RETURNING replica)
          INSERT INTO saga.beats SELECT replica, 7 FROM new"""


@pytest.mark.parametrize(("beats", "who"), [(True, "replica pod-1"), (False, None)])
async def test_only_a_beat_that_moves_is_life_R61(
    at: PostgresLocation, server: asyncpg.Connection, beats: bool, who: str | None
) -> None:
    await server.execute(LIVE)
    tables = await connect_tables(at, application="test", read_only=False)
    owners, clock = BeatingReplicas(tables), Watching(tables, beats)
    assert await owners.now(clock) == who
    clock._beats = False
    clock.at_ms += 4_000
    assert await owners.now(clock) == who, "within the lease, and without waiting"
    clock.at_ms += 4_000
    assert await owners.now(clock) is None
    await tables.close()


async def test_who_watched_once_need_not_watch_again_by_another_connection(
    at: PostgresLocation, server: asyncpg.Connection
) -> None:
    await server.execute(LIVE)
    tables = await connect_tables(at, application="test", read_only=False)
    clock = Watching(tables, beats=True)
    first = await StoreReader.open(at)
    assert await first.owners.now(clock) == "replica pod-1"
    await first.close()

    clock.at_ms += 60_000
    await server.execute("UPDATE saga.beats SET beat = beat + 1 WHERE replica > 1")
    began = clock.at_ms
    second = await StoreReader.open(at, owners=first.owners)
    assert await second.owners.now(clock) == "replica pod-1", "it beat since the first reader saw it"
    assert clock.at_ms == began, "and nobody waited"
    await second.close()
    await tables.close()


async def test_where_no_replica_lives_nobody_is_waited_for(at: PostgresLocation) -> None:
    tables = await connect_tables(at, application="test", read_only=True)
    clock = Watching(tables, beats=False)
    assert await BeatingReplicas(tables).now(clock) is None
    assert clock.at_ms == NOW
    await tables.close()


# --- what is no store -----------------------------------------------------------------------------


async def test_a_database_without_a_store_is_said(postgres_url: PostgresUrl) -> None:
    with pytest.raises(StoreUnavailableError, match=r"there is no store in schema 'saga' of .* start `saga orchestr"):
        await StoreReader.open(PostgresLocation(postgres_url))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("INSERT INTO saga.migrations VALUES (99, 'later', 99)", "use the newer kafka-saga that wrote it"),
        ("DELETE FROM saga.migrations WHERE number > 1", "start `saga orchestrator` once, which brings it up to date"),
        ("INSERT INTO saga.meta VALUES ('copying', '{}')", "is not finished: run its `saga store copy` again"),
        ("INSERT INTO saga.meta VALUES ('renewing', '')", "`saga store recovered` on .* was broken off: run it again"),
    ],
)
async def test_a_store_of_another_version_or_half_a_store_is_refused_R76(
    at: PostgresLocation, server: asyncpg.Connection, change: str, said: str
) -> None:
    await server.execute(change)
    with pytest.raises(StoreRefusedError, match=said):
        await StoreReader.open(at)


async def test_a_newer_store_that_this_program_may_use_is_read_R76(
    at: PostgresLocation, server: asyncpg.Connection
) -> None:
    await server.execute("INSERT INTO saga.migrations VALUES (99, 'later', 1)")
    reader = await StoreReader.open(at)
    assert await reader.count_all() == 8
    await reader.close()


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ("CREATE TABLE shop.migrations (revision text)", "'migrations'"),
        ("CREATE TABLE shop.migrations (number text, compatible_from json)", "'migrations'"),
        ("CREATE TABLE shop.migrations (number int, compatible_from int, name text)", "'migrations'"),
        ("CREATE TABLE shop.orders (id int); CREATE VIEW shop.open AS SELECT 1", "'open', 'orders'"),
        ("CREATE TABLE shop.d (); CREATE TABLE shop.c (); CREATE TABLE shop.b (); CREATE TABLE shop.a ()", "'c' and 1"),
    ],
)
async def test_a_schema_of_another_product_is_told_from_none(
    postgres_url: PostgresUrl, theirs: str, named: str
) -> None:
    at = PostgresLocation(postgres_url, "shop")
    server = await asyncpg.connect(postgres_url.secret_text)
    await server.execute(f"CREATE SCHEMA shop; {theirs}")
    await server.close()
    for opening in (StoreReader.open, ActQueue.open):
        with pytest.raises(StoreRefusedError) as refused:
            await opening(at)
        said = str(refused.value)
        assert said.startswith(
            f"schema 'shop' of {postgres_url} is not a kafka-saga store, its tables are another progr"
        )
        assert named in said
        assert said.endswith(": name the store's schema with SAGA_STORE_SCHEMA, or another database with --store")


async def test_a_store_in_another_schema_is_pointed_at(at: PostgresLocation, server: asyncpg.Connection) -> None:
    with pytest.raises(
        StoreUnavailableError, match=r"no store in schema 'shop' .*: there is one in schema 'saga', name"
    ):
        await StoreReader.open(PostgresLocation(at.url, "shop"))
    await server.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int)")
    with pytest.raises(
        StoreRefusedError, match=r"'shop' .* another program's \('orders'\): there is one in schema 'saga'"
    ):
        await StoreReader.open(PostgresLocation(at.url, "shop"))


async def test_another_products_table_of_our_name_stops_a_start(postgres_url: PostgresUrl) -> None:
    server = await asyncpg.connect(postgres_url.secret_text)
    for columns in ("revision text", "number text, compatible_from text, name text"):
        await server.execute(f"CREATE SCHEMA saga; CREATE TABLE saga.migrations ({columns})")
        with pytest.raises(StoreRefusedError, match="has a table 'migrations' that is not ours"):
            await migrate_store(PostgresLocation(postgres_url))
        await server.execute("DROP SCHEMA saga CASCADE")
    await server.close()
