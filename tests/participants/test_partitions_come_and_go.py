"""A worker whose partitions come and go, and whose database server does, too (R60, R77). Kafka is a fake here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.participants.worker import Worker
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreFullError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.schemas.topics import TopicNames
from tests.participants.fakes import FakeBroker, FakeConsumer, FakeProducer
from tests.participants.shop import SCHEMA, Do, make_shop
from tests.participants.worker_world import P0, P1, World

CLOCK = SystemClock()


class FakeMember(FakeConsumer):
    """Reads what is assigned, and tells the owner inside a poll, as `GroupConsumer` does."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__(broker, {})
        self.owner: Worker | None = None
        self.held: frozenset[TopicPartition] = frozenset()
        self.next: asyncio.Queue[frozenset[TopicPartition]] = asyncio.Queue()

    async def poll(self, timeout_ms: int, records_max: int) -> Sequence[Record]:
        assert self.owner is not None
        while not self.next.empty():
            if self.held:
                await self.owner.revoked(self.held)
            self.held = self.next.get_nowait()
            positions = await self.owner.assigned(self.held)
            self.positions |= {tp: positions.get(tp, 0) for tp in self.held}
        records = await super().poll(timeout_ms, records_max)
        return [record for record in records if TopicPartition(record.topic, record.partition) in self.held]


class SharedWorld(World):
    """As `World`, with a store on PostgreSQL and partitions that are assigned."""

    url: PostgresUrl
    shared: ParticipantStore
    member: FakeMember
    watching: asyncpg.Connection

    async def begin(self, url: PostgresUrl, *, gate: asyncio.Event | None = None) -> None:
        self.url = url
        self.watching = await asyncpg.connect(url.secret_text)
        await self.watching.execute(SCHEMA)
        clock = SystemClock()
        self.clock.at_ms = clock.now_ms()
        shop = make_shop(self.outside)
        self.shared = await open_for(Opening(shop, "one", clock), url)
        self.member, self.producer = FakeMember(self.broker), FakeProducer(self.broker, gate=gate)
        self.consumer, self.lifecycle = self.member, Lifecycle()
        self.member.owner = Worker(
            shop,
            store=self.shared,
            stored_offsets={},
            newest_ms=0,
            consumer=self.member,
            producer=self.producer,
            topics=TopicNames(),
            group="shop",
            clock=clock,
            lifecycle=self.lifecycle,
        )
        self.task = asyncio.create_task(self.member.owner.run())

    async def assign(self, *partitions: TopicPartition) -> None:
        self.member.next.put_nowait(frozenset(partitions))
        await self.broker.signals.until(lambda: self.member.held == frozenset(partitions))

    async def close(self) -> None:
        self.task = None
        await self.shared.close()
        await self.watching.close()

    async def offsets(self) -> dict[int, int]:
        return dict(map(tuple, await self.watching.fetch("SELECT partition, next FROM saga_offsets")))

    async def done(self) -> list[str]:
        rows = await self.watching.fetch("SELECT saga_id FROM effects ORDER BY saga_id")
        return [saga_id for (saga_id,) in rows]


@pytest.fixture
async def shared(postgres_schema: PostgresUrl, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharedWorld]:
    world = SharedWorld(tmp_path_factory.mktemp("unused") / "none")
    world.url = postgres_schema
    yield world
    if world.task is not None:
        await world.kill()


async def test_only_what_is_assigned_is_handled_and_its_offset_is_written_when_it_goes(shared: SharedWorld) -> None:
    await shared.begin(shared.url)
    for number in range(3):
        await shared.send(Do(), f"order-{number}", partition=0)
        await shared.send(Do(), f"other-{number}", partition=1)
    await shared.assign(P0)
    await shared.replied(3)
    await shared.assign(P1)
    assert await shared.offsets() == {0: 3}
    await shared.replied(6)
    await shared.stop()


async def test_what_was_begun_before_marks_nothing_after(shared: SharedWorld) -> None:
    gate = asyncio.Event()
    await shared.begin(shared.url, gate=gate)
    await shared.assign(P0)
    await shared.send(Do(), "order-1", partition=0)
    await shared.broker.signals.until(lambda: shared.producer.attempts > 0)  # committed, and not published yet
    await shared.assign(P1)
    await shared.watching.execute("INSERT INTO saga_offsets VALUES ('shop.commands', 0, 9, 0)")  # its next owner
    await shared.assign(P0, P1)
    gate.set()
    await shared.replied(1)
    await shared.stop()
    connection = await asyncpg.connect(shared.url.secret_text)
    assert await connection.fetchval("SELECT next FROM saga_offsets WHERE partition = 0") == 9
    await connection.close()


async def test_offsets_that_another_worker_moved_are_found_out_and_never_moved_back(shared: SharedWorld) -> None:
    await shared.begin(shared.url)
    await shared.assign(P0)
    await shared.send(Do(), "order-1", partition=0)
    await shared.replied(1)
    await shared.watching.execute("INSERT INTO saga_offsets VALUES ('shop.commands', 0, 5, 0)")
    await shared.send(Do(), "order-2", partition=0)
    await shared.replied(2)
    assert await shared.offsets() == {0: 5}
    assert await shared.done() == ["order-1", "order-2"]
    await shared.stop()


async def test_a_server_that_ends_our_sessions_costs_nothing(shared: SharedWorld) -> None:
    await shared.begin(shared.url)
    await shared.assign(P0, P1)
    for number in range(40):
        await shared.send(Do(), f"order-{number:02}", partition=number % 2)
        if number % 10 == 5:
            await shared.watching.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'saga shop one' "
                "AND datname = current_database() AND pid <> pg_backend_pid()"
            )
    await shared.broker.signals.until(lambda: len({saga for saga, _ in shared.broker.outcomes()}) == 40)
    assert await shared.done() == [f"order-{number:02}" for number in range(40)]
    await shared.stop()


FAILING = """
CREATE SEQUENCE tries;
CREATE FUNCTION failing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM nextval('tries');
  RAISE 'could not extend file' USING ERRCODE = '{code}';
END $$;
CREATE TRIGGER failing BEFORE INSERT ON {table} EXECUTE FUNCTION failing()
"""


@pytest.mark.parametrize("table", ["effects", "saga_fence"])
async def test_a_full_disk_holds_commands_up_and_spends_no_attempt(
    shared: SharedWorld, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    """Whether the handler meets it first or the guard: a saga must not be undone because a disk is full."""
    await shared.begin(shared.url)
    await shared.assign(P0)
    await shared.watching.execute(FAILING.format(table=table, code="disk_full"))
    await shared.send(Do(), "order-1")
    while await shared.watching.fetchval("SELECT last_value FROM tries") < 4:
        await CLOCK.sleep(20)
    assert shared.broker.replies() == []
    await shared.watching.execute(f"DROP TRIGGER failing ON {table}")
    await shared.replied(1)
    assert await shared.done() == ["order-1"]
    said = capsys.readouterr().out
    assert said.count("the server's disk is full: make room there") == 1
    assert [said.count(event) for event in ("store.full", "store.answers_again", "command.retry")] == [1, 1, 0]
    await shared.stop()


async def test_an_idle_worker_opens_its_connection_again(shared: SharedWorld) -> None:
    sessions = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'saga shop one' AND datname = current_database()"
    )
    await shared.begin(shared.url)
    await shared.assign(P0)
    before = await shared.watching.fetchval(sessions)
    await shared.watching.execute("SELECT pg_terminate_backend($1, 5000)", before)
    while await shared.watching.fetchval(sessions) in {None, before}:
        await CLOCK.sleep(20)
    await shared.stop()


async def test_an_idle_worker_says_once_that_the_server_is_away(
    shared: SharedWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    await shared.begin(shared.url)
    await shared.assign(P0)
    await shared.watching.execute(FAILING.format(table="saga_offsets", code="admin_shutdown"))
    await shared.watching.execute("CREATE TRIGGER failing BEFORE DELETE ON saga_fence EXECUTE FUNCTION failing()")
    await shared.send(Do(), "order-1")
    await shared.replied(1)
    while await shared.watching.fetchval("SELECT last_value FROM tries") < 3:
        await CLOCK.sleep(20)
    await shared.watching.execute("DROP FUNCTION failing CASCADE")
    while await shared.offsets() != {0: 1}:
        await CLOCK.sleep(20)
    await shared.stop()
    said = capsys.readouterr().out
    events = ("store.unavailable", "store.answers_again", "worker.offsets_not_written")
    assert [said.count(event) for event in events] == [1, 1, 0]


async def test_a_worker_that_is_told_to_stop_waits_for_no_disk(shared: SharedWorld) -> None:
    await shared.begin(shared.url)
    await shared.assign(P0)
    await shared.watching.execute(FAILING.format(table="effects", code="disk_full"))
    await shared.send(Do(), "order-1")
    while await shared.watching.fetchval("SELECT last_value FROM tries") < 2:
        await CLOCK.sleep(20)
    shared.lifecycle.stop()
    assert shared.task is not None
    with pytest.raises(StoreFullError, match="the server's disk is full"):
        await shared.task
    assert shared.broker.replies() == []
