"""A server that restarts, fails over, forgets, or answers nobody: nothing is done twice, and nothing is lost (R68)."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from deploy.postgres.postgres import SERVER_USER, Server
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.operations.checks.finding import Finding
from kafka_saga.orchestrator.operations.checks.server import check_server
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.port import Advance, Batch, Started
from kafka_saga.orchestrator.store.postgres.store import PostgresStore, open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import UNWRITTEN, BrokenStoreError, ConflictError, StoreUnavailableError
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.stores import HASH, NOW, move, new_saga, stored
from tests.contracts.test_store import MESSAGE
from tests.disks import fill_up, mounted
from tests.postgres import breakable_server
from tests.store.cutting import CutWire, wire_to

CLOCK = SystemClock()
REPLIES = TopicPartition("inventory.replies", 0)
ALL = Lanes(1, frozenset({0}))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that tests may break."""
    with breakable_server() as server:
        yield server


@pytest.fixture
async def at(server: Server) -> AsyncIterator[PostgresLocation]:
    at = PostgresLocation(PostgresUrl(server.url))
    yield at
    await on(server, f"DROP SCHEMA IF EXISTS {at.schema} CASCADE")


@pytest.fixture
async def wire(server: Server) -> AsyncIterator[CutWire]:
    async with wire_to(server.port) as wire:
        yield wire


@pytest.fixture
async def store(at: PostgresLocation, wire: CutWire) -> AsyncIterator[PostgresStore]:
    """A replica that lives, and has written once; its connections go over the wire."""
    store = await living(through(at, wire))
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(None, 1)}))
    yield store
    await store.close()


def through(at: PostgresLocation, wire: CutWire) -> PostgresLocation:
    url = at.url.secret_text
    return replace(at, url=PostgresUrl(url.replace(url.rpartition(":")[2].partition("/")[0], str(wire.port))))


async def living(at: PostgresLocation, stopping: asyncio.Event | None = None) -> PostgresStore:
    store = await open_store(at, CLOCK, stopping=stopping)
    await store.members.join(Joining("a", "1.0", "order 1", window=1_000, lanes=1))
    store.members.own(ALL)
    return store


async def on(server: Server, sql: str) -> None:
    """An administrator does something."""
    connection = await asyncpg.connect(server.url)
    await connection.execute(sql)
    await connection.close()


BATCH_AFTER = Batch(NOW, messages=[MESSAGE])
BATCH = Batch(NOW, started=[Started(new_saga(), HASH)], messages=[MESSAGE], offsets={REPLIES: Advance(1, 2)})


async def test_a_commit_whose_answer_was_lost_is_known_to_be_done(store: PostgresStore, wire: CutWire) -> None:
    wire.cut_at = "answer"
    row = await store.commit(BATCH)
    assert wire.cuts == 1
    assert row is not None
    assert [kept.outbox_id for kept in await store.outbox()] == [row]
    assert (await stored(store)) == new_saga()
    await move(store, Admitted())


async def test_a_commit_that_did_not_reach_the_server_is_known_not_to_be_done(
    store: PostgresStore, wire: CutWire
) -> None:
    wire.cut_at = "request"
    with pytest.raises(ConflictError):
        await store.commit(BATCH)
    assert wire.cuts == 1
    assert await store.outbox() == []
    assert await store.offsets() == {REPLIES: 1}
    assert await store.commit(BATCH) is not None


async def test_a_commit_that_the_server_is_still_at_is_waited_for(
    store: PostgresStore, wire: CutWire, at: PostgresLocation
) -> None:
    """It holds its own life's row, so nobody reads that before its outcome is known."""
    beside = await asyncpg.connect(at.url.secret_text)
    async with beside.transaction():
        await beside.execute("SELECT FROM saga.settings FOR UPDATE")
        wire.cut_at = "before the answer"
        committing = asyncio.create_task(store.commit(BATCH))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not wire.cuts or not await beside.fetchval(waits):
            await CLOCK.sleep(1)
    row = await committing
    assert [kept.outbox_id for kept in await store.outbox()] == [row]
    await beside.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_server_is_a_pause_and_nothing_else(
    store: PostgresStore, server: Server, mode: Literal["fast", "immediate"]
) -> None:
    await store.commit(BATCH)
    await asyncio.to_thread(server.restart, mode)
    assert await stored(store) == new_saga()
    with pytest.raises(ConflictError, match="not done"):  # its connection was gone when it was sent
        await store.commit(Batch(NOW, offsets={REPLIES: Advance(2, 3)}))
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(2, 3)}))
    assert await store.offsets() == {REPLIES: 3}


async def test_a_server_that_is_away_is_waited_for_and_that_is_said_once(
    store: PostgresStore, wire: CutWire, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.down = True
    wire.sever()
    asking = asyncio.create_task(store.offsets())
    await CLOCK.sleep(400)
    assert not asking.done()
    wire.down = False
    assert await asking == {REPLIES: 1}
    said = capsys.readouterr().out
    assert said.count("store.unavailable") == 1
    assert said.count("store.answers_again") == 1


async def test_a_standby_is_waited_for_until_it_is_promoted(at: PostgresLocation, server: Server) -> None:
    store = await living(at)
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(None, 1)}))
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    try:
        committing = asyncio.create_task(store.commit(Batch(NOW, offsets={REPLIES: Advance(1, 2)})))
        await CLOCK.sleep(300)
        assert not committing.done(), "it is read-only"
    finally:
        await on(server, "SELECT pg_promote()")
    with pytest.raises(ConflictError, match="not done"):
        await committing
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(1, 2)}))
    await store.close()


async def test_a_server_whose_disk_is_full_is_waited_for_and_that_is_said_once(
    at: PostgresLocation, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    store = await living(at)
    await on(
        server,
        "CREATE FUNCTION saga.full() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;"
        " CREATE TRIGGER full_disk BEFORE INSERT ON saga.outbox EXECUTE FUNCTION saga.full()",
    )
    batch = Batch(NOW, messages=[MESSAGE])
    for _ in range(4):
        with pytest.raises(ConflictError, match="not done") as refused:
            await store.commit(batch)
        assert refused.value.what == UNWRITTEN, "nobody was first"
    await on(server, "DROP TRIGGER full_disk ON saga.outbox")
    assert await store.commit(batch) is not None
    said = capsys.readouterr().out
    assert said.count("the server's disk is full: make room there") == 1
    assert [said.count(event) for event in ("store.full", "store.unavailable", "store.answers_again")] == [1, 0, 1]
    await store.close()


@pytest.fixture
async def small(server: Server) -> AsyncIterator[Path]:
    """A disk of 32 MB, on which the database `small` of the server is; the server's log of what it writes is not."""
    with mounted(server.data.parent / "small") as place:
        if os.geteuid() == 0:
            shutil.chown(place, SERVER_USER)
        await on(server, f"CREATE TABLESPACE small LOCATION '{place}'")
        await on(server, "CREATE DATABASE small TEMPLATE template0 TABLESPACE small")
        yield place
        await on(server, "DROP DATABASE small WITH (FORCE)")
        await on(server, "DROP TABLESPACE small")


async def test_a_disk_that_really_fills_up_loses_nothing_and_is_said_by_doctor(
    server: Server, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = PostgresLocation(PostgresUrl(f"{server.url.rpartition('/')[0]}/small"))
    store = await living(at)
    fill_up(small / "ballast", leave=1_000_000)
    written, refused = await commits_until_refused(store)
    assert refused.what == UNWRITTEN
    assert [finding.verdict for finding in await server_disk(at)] == ["wrong"]
    assert "make room there" in (await server_disk(at))[0].remedy
    (small / "ballast").unlink()
    assert await store.commit(BATCH_AFTER) is not None
    assert len(await store.outbox()) == written + 1
    assert [finding.verdict for finding in await server_disk(at)] == ["ok"]
    said = capsys.readouterr().out
    assert (said.count("No space left on device"), said.count("disk is full: make room there")) == (1, 1)
    assert [said.count(event) for event in ("store.full", "store.unavailable", "store.answers_again")] == [1, 0, 1]
    await store.close()


async def commits_until_refused(store: PostgresStore) -> tuple[int, ConflictError]:
    written = 0
    while True:
        try:
            await store.commit(Batch(NOW, messages=[MESSAGE._replace(value=os.urandom(60_000))]))
        except ConflictError as error:
            return written, error
        written += 1


async def server_disk(at: PostgresLocation) -> list[Finding]:
    findings, _ = await check_server(at, None, CLOCK)
    return [finding for finding in findings if finding.check == "server disk"]


async def test_a_process_that_is_told_to_stop_waits_no_longer(at: PostgresLocation, wire: CutWire) -> None:
    stopping = asyncio.Event()
    store = await living(through(at, wire), stopping)
    wire.down = True
    wire.sever()
    asking = asyncio.create_task(store.offsets())
    await CLOCK.sleep(100)
    stopping.set()
    with pytest.raises(StoreUnavailableError):
        await asking
    await store.close()


@pytest.mark.parametrize("cut", [False, True])
async def test_a_server_that_lost_what_it_had_acknowledged_stops_everybody(
    store: PostgresStore, wire: CutWire, server: Server, cut: bool
) -> None:
    await store.commit(BATCH)
    await on(server, "UPDATE saga.replicas SET batch = batch - 1")
    if cut:
        wire.cut_at = "request"
    with pytest.raises(BrokenStoreError, match="lost commits that it had acknowledged"):
        await store.commit(Batch(NOW, offsets={REPLIES: Advance(2, 3)}))


async def test_a_life_that_ended_during_a_doubtful_commit_is_over(
    store: PostgresStore, wire: CutWire, server: Server
) -> None:
    await on(server, "UPDATE saga.replicas SET state = 'dead'")
    wire.cut_at = "request"
    with pytest.raises(ConflictError) as caught:
        await store.commit(BATCH)
    assert caught.value.what == "life"


@pytest.mark.parametrize(("forgotten", "error"), [(True, ConflictError), (False, BrokenStoreError)])
async def test_a_life_that_the_server_does_not_know_was_forgotten_or_lost(
    store: PostgresStore, wire: CutWire, server: Server, forgotten: bool, error: type[Exception]
) -> None:
    if forgotten:
        await on(
            server, "INSERT INTO saga.replicas (name, program, definitions, began_at, clock) SELECT 'b', '', '', 0, 0"
        )
    await on(server, f"DELETE FROM saga.replicas WHERE replica = {store.members.replica}")
    wire.cut_at = "request"
    with pytest.raises(error, match="is over" if forgotten else "lost commits"):
        await store.commit(BATCH)


async def test_a_server_that_hangs_costs_one_connection_and_no_answer_is_taken_for_another(
    store: PostgresStore, wire: CutWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.store.postgres.session.POSTGRES_ANSWER_TIMEOUT_MS", 200)
    with pytest.raises(StoreUnavailableError, match="did not answer in time"):
        await store._reader.once(lambda connection: connection.fetchval("SELECT pg_sleep(0.4)"))
    assert await store.offsets() == {REPLIES: 1}
    assert wire.cuts == 0
