"""`saga adopt`: what it counts, what it changes, and what it refuses. With everything running: tests/integration."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.messaging.cluster import Cluster, Committed
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.replacing import replace_all
from kafka_saga.runtime.store_lock import StoreLock
from tests.brokers import BrokerUnderTest
from tests.cli.conftest import Run, Saga

pytestmark = [
    pytest.mark.processes,
    pytest.mark.kafka,
    pytest.mark.real_kafka,
]  # one partition: created, not made on demand


class Group:
    """The group of payment, on a topic of one partition with ten commands; of them another program has read six."""

    def __init__(self, kafka: BrokerUnderTest) -> None:
        prefix = f"adopt-{os.urandom(4).hex()}."
        self.kafka = kafka
        self.topic = f"{prefix}payment.commands"
        self.name = f"{prefix}payment"
        self.only = TopicPartition(self.topic, 0)
        self.variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SAGA_TOPICS__PREFIX": prefix}
        self.cluster = Cluster(kafka.settings)

    async def fill(self) -> None:
        await create_topics(self.kafka.settings, [TopicSpec(self.topic, 1)])
        producer = Producer(self.kafka.settings)
        await producer.publish([Message(self.topic, b"order-1", b"{}") for _ in range(10)])
        await producer.stop()
        await self.cluster.commit(self.name, {self.only: 6}, "")

    async def committed(self) -> Committed:
        return (await self.cluster.committed_by(self.name, [self.only]))[self.only]


@pytest.fixture
async def group(kafka: BrokerUnderTest) -> AsyncIterator[Group]:
    group = Group(kafka)
    await group.fill()
    yield group
    await group.cluster.close()


def adopt(saga: Saga, group: Group, *arguments: str) -> Run:
    return saga("adopt", *arguments, **group.variables)


def position(database: Path) -> tuple[str, list[tuple[int]]]:
    with closing(sqlite3.connect(database)) as connection:
        [(store_id,)] = connection.execute("SELECT value FROM saga_meta WHERE name = 'store_id'").fetchall()
        return store_id, connection.execute("SELECT next FROM saga_offsets").fetchall()


CHOICES = {
    "committed": (6, {"again": 0, "known": 0, "skipped": 0, "new": 4}),
    "earliest": (0, {"again": 6, "known": 0, "skipped": 0, "new": 4}),
    "end": (10, {"again": 0, "known": 0, "skipped": 4, "new": 0}),
}


@pytest.mark.parametrize("begin", CHOICES)
async def test_what_is_counted_is_what_is_done_and_counting_changes_nothing(
    saga: Saga, group: Group, tmp_path: Path, begin: str
) -> None:
    database = tmp_path / "data" / "payment.db"
    at, counts = CHOICES[begin]
    counted = adopt(saga, group, "payment", "--from", begin, "--dry-run", "--json").json
    assert {what: counted[what] for what in counts} == counts
    assert (counted["adopted"], counted["from"], counted["group"]) == (False, begin, group.name)
    assert not database.exists()
    assert await group.committed() == Committed(6, "")

    adopted = adopt(saga, group, "payment", "--from", begin, "--json", "--yes").json
    assert adopted == {**counted, "adopted": True}
    store_id, positions = position(database)
    assert await group.committed() == Committed(at, store_id)
    assert positions == [(at,)]


async def test_what_this_database_has_handled_itself_is_known_and_not_done_again(
    saga: Saga, group: Group, tmp_path: Path
) -> None:
    assert adopt(saga, group, "payment", "--from", "committed", "--yes").exit_code == 0
    await group.cluster.commit(group.name, {group.only: 9}, "")  # somebody else went on
    counts = adopt(saga, group, "payment", "--from", "earliest", "--dry-run", "--json").json
    assert {what: counts[what] for what in ("again", "known", "new")} == {"again": 3, "known": 6, "new": 1}
    assert adopt(saga, group, "payment", "--from", "earliest", "--yes").exit_code == 0
    assert position(tmp_path / "data" / "payment.db")[1] == [(0,)], "a position can be moved back, too"


async def test_people_read_a_table_and_sentences_and_are_asked(saga: Saga, group: Group, tmp_path: Path) -> None:
    dry = adopt(saga, group, "payment", "--from", "earliest", "--dry-run")
    assert dry.exit_code == 0
    assert dry.out.split() == [
        *("partition", "from", "end", "again", "known", "skipped", "new"),
        *(f"{group.topic}[0]", "0", "10", "6", "0", "0", "4"),
    ]
    assert "6 records handled by another owner, and handled again here" in dry.err
    assert "nothing was changed" in dry.err
    unasked = adopt(saga, group, "payment", "--from", "earliest")  # nobody is there to answer
    assert unasked.exit_code != 0
    assert not (tmp_path / "data" / "payment.db").exists()
    assert await group.committed() == Committed(6, "")


async def test_what_cannot_be_adopted_is_refused_in_one_line_and_nothing_changes(
    saga: Saga, group: Group, tmp_path: Path
) -> None:
    database = tmp_path / "data" / "payment.db"

    def refused(*arguments: str) -> tuple[int, str]:
        run = adopt(saga, group, *arguments)
        assert run.err.count("\n") == 1, run.err
        return run.exit_code, run.err

    code, text = refused("paymnt", "--from", "committed", "--yes")
    assert (code, "paymnt.commands" in text, (tmp_path / "data" / "paymnt.db").exists()) == (3, True, False)
    assert refused("payment", "--from", "yesterday")[0] == 2
    assert refused("payment", "--yes")[0] == 2
    lock = StoreLock(database)
    lock.acquire("participant payment")
    code, text = refused("payment", "--from", "committed", "--yes")
    lock.release()
    assert (code, "participant payment" in text, "stop it first" in text) == (4, True, True)
    database.unlink()
    with pytest.raises(Exception, match=r"payment\.db"):
        replace_all([database], ".before")  # nothing is prepared: as if it were killed there
    code, text = refused("payment", "--from", "committed", "--yes")
    assert (code, "was interrupted" in text) == (4, True)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE saga_offsets (x)")
    code, text = refused("payment", "--from", "committed", "--database", str(foreign), "--yes")
    assert (code, "another program" in text) == (4, True)
    foreign.write_text("no database at all, and longer than a header would be" * 10)
    assert refused("payment", "--from", "committed", "--database", str(foreign), "--yes")[0] == 5
    assert await group.committed() == Committed(6, "")


async def test_without_a_broker_no_database_is_made(saga: Saga, tmp_path: Path) -> None:
    away = saga("adopt", "payment", "--from", "committed", "--yes", "--bootstrap-servers", "127.0.0.1:1")
    assert away.exit_code == 5
    assert not (tmp_path / "data" / "payment.db").exists()


async def test_an_orchestrators_group_is_adopted_for_a_store_on_postgresql(
    saga: Saga, kafka: BrokerUnderTest, postgres_url: PostgresUrl
) -> None:
    prefix = f"adopt-{os.urandom(4).hex()}."
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SAGA_TOPICS__PREFIX": prefix,
        "SAGA_STORE": postgres_url.secret_text,
    }
    assert saga("topics", "create", "--partitions", "1", **variables).exit_code == 0
    producer = Producer(kafka.settings)
    await producer.publish([Message(f"{prefix}order.requests", b"order-1", b"{}") for _ in range(5)])
    await producer.stop()
    counted = saga("adopt", "orchestrator", "--from", "end", "--dry-run", "--json", **variables)
    assert (counted.exit_code, counted.json["skipped"]) == (0, 5), counted.err
    assert "secret" not in counted.out

    assert saga("adopt", "orchestrator", "--from", "end", "--yes", **variables).exit_code == 0
    store = await asyncpg.connect(postgres_url.secret_text)
    store_id = await store.fetchval("SELECT value FROM saga.meta WHERE key = 'store_id'")
    positions = dict(map(tuple, await store.fetch("SELECT topic, next FROM saga.offsets WHERE next > 0")))
    cluster, requests = Cluster(kafka.settings), TopicPartition(f"{prefix}order.requests", 0)
    committed = (await cluster.committed_by(f"{prefix}orchestrator", [requests]))[requests]
    await cluster.close()
    assert (positions, committed) == ({requests.topic: 5}, Committed(5, store_id))

    live = "INSERT INTO saga.replicas (name, program, definitions, began_at, clock) VALUES ('pod-1', '1', '[]', 0, 0)"
    await store.execute(f"WITH r AS ({live} RETURNING replica) INSERT INTO saga.beats SELECT replica, 1 FROM r")
    beating = asyncio.create_task(_beat(store))
    refused = await asyncio.to_thread(saga, "adopt", "orchestrator", "--from", "end", "--yes", **variables)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await store.close()
    assert (refused.exit_code, "replica pod-1 has postgresql://" in refused.err) == (4, True), refused.err


async def test_a_services_group_is_adopted_for_its_database_on_postgresql(
    saga: Saga, group: Group, postgres_url: PostgresUrl
) -> None:
    variables = {**group.variables, "SAGA_SERVICE_DATABASE": postgres_url.secret_text}
    counted = saga("adopt", "payment", "--from", "committed", "--dry-run", "--json", **variables)
    assert (counted.exit_code, counted.json["new"]) == (0, 4), counted.err
    database = await asyncpg.connect(postgres_url.secret_text)
    assert await database.fetchval("SELECT to_regclass('saga_offsets')") is None

    adopted = saga("adopt", "payment", "--from", "committed", "--yes", **variables)
    assert adopted.exit_code == 0, adopted.err
    store_id = await database.fetchval("SELECT value FROM saga_meta WHERE name = 'store_id'")
    assert await database.fetchval("SELECT next FROM saga_offsets") == 6
    assert await group.committed() == Committed(6, store_id)

    await database.execute("SET application_name = 'saga payment one'")  # as its workers have it
    refused = saga(
        "adopt", "payment", "--from", "end", "--yes", "--database", postgres_url.secret_text, **group.variables
    )
    await database.close()
    assert (refused.exit_code, "a worker (saga payment one) has postgresql://" in refused.err) == (4, True), refused.err


async def _beat(store: asyncpg.Connection) -> None:
    while True:
        await store.execute("UPDATE saga.beats SET beat = beat + 1")
        await SystemClock().sleep(50)
