"""0.1.0 was killed with sagas under way; this release opens what it left, brings it up to date, and finishes them all.

`written_by_0_1_0/` has the databases of that release's orchestrator and services as SQL, and every record that was in
Kafka; record.py says how they came about.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.orchestrator.demo.figures import count
from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.migrations import newest_schema
from tests.brokers import BrokerUnderTest
from tests.demo.upper import SAGA, clean_environment, saga_up
from tests.integration.processes import until

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

WRITTEN = Path(__file__).with_name("written_by_0_1_0")
PREFIX = "upgrade."
CLOCK = SystemClock()
KEPT = ("SAGA_FENCE_RETENTION_DAYS", "SAGA_RETENTION_DAYS", "SAGA_PURGED_RETENTION_DAYS")
FOR_EVER = dict.fromkeys(KEPT, "3650")  # what was recorded grows old
ENDS = {
    "completed": "COMPLETED",
    "compensated": "COMPENSATED",
    "retrying": "COMPLETED",  # it waited to try its third step again
    "reply-unread": "COMPLETED",  # the answer of its second step lay in Kafka
    "command-unread": "COMPLETED",  # its first command lay there
    "request-unread": "COMPLETED",  # it had not begun
    "undoing": "COMPENSATED",  # it waited for the answer to an undoing
    "paused": "COMPLETED",  # an operator held it
    "parked": "COMPENSATED",  # an undoing had been refused
}
NEED_A_PERSON = {"paused": "RUNNING", "parked": "PARKED"}


async def put_into_kafka(kafka: KafkaSettings) -> None:
    """Every record where it was: by topic, partition and offset."""
    lines = [json.loads(line) for line in (WRITTEN / "kafka.jsonl").read_text().splitlines()]
    partitions = {line["topic"]: line["partition"] + 1 for line in lines if "offset" not in line}
    await create_topics(kafka, [TopicSpec(name, number) for name, number in partitions.items()])
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    records = [line for line in lines if "offset" in line]
    for place, group in groupby(records, key=lambda record: (record["topic"], record["partition"])):
        for offset, record in enumerate(group):
            assert record["offset"] == offset, place
            headers = [(name, value.encode()) for name, value in record["headers"]]
            value = None if record["value"] is None else record["value"].encode()
            producer.produce(place[0], value, record["key"].encode(), place[1], headers=headers)
    assert producer.flush(60) == 0


def put_on_disk(folder: Path) -> None:
    folder.mkdir()
    for dumped in WRITTEN.glob("*.sql"):
        with closing(sqlite3.connect(folder / f"{dumped.stem}.db")) as database:
            database.executescript(dumped.read_text())


def rows(database: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


def orders() -> list[Order]:
    return [Order(order_id=saga_id, ends=SagaState(state)) for saga_id, state in ENDS.items()]


@pytest.fixture
async def left(kafka: BrokerUnderTest, tmp_path: Path) -> Path:
    """A folder as 0.1.0 left it, beside a Kafka as it left that."""
    if kafka.kind == "env":
        kafka.delete_topics([PREFIX])
    await put_into_kafka(kafka.settings)
    put_on_disk(tmp_path / ".saga")
    return tmp_path


async def test_this_release_finishes_what_0_1_0_left_under_way(left: Path, kafka: BrokerUnderTest) -> None:
    store = left / ".saga" / "orchestrator.db"
    [(before,)] = rows(store, "SELECT max(version) FROM schema_version")
    assert dict(rows(store, "SELECT saga_id, state FROM sagas")) == {
        "completed": "COMPLETED", "compensated": "COMPENSATED", "parked": "PARKED", "paused": "RUNNING",
        "undoing": "COMPENSATING", "retrying": "RUNNING", "reply-unread": "RUNNING", "command-unread": "RUNNING",
    }  # fmt: skip

    def states() -> dict[str, str]:
        return dict(rows(store, "SELECT saga_id, state FROM sagas"))

    def saga(*arguments: str) -> str:
        environment = clean_environment(**settings)
        done = subprocess.run(
            [*SAGA, *arguments], cwd=left, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done
        return done.stdout

    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SAGA_TOPICS__PREFIX": PREFIX, **FOR_EVER}
    with saga_up(left, **settings) as up:
        up.until("everything is ready")
        assert rows(store, "SELECT max(version) FROM schema_version") == [
            (newest_schema("kafka_saga.orchestrator.store.migrations"),)
        ]
        assert before < newest_schema("kafka_saga.orchestrator.store.migrations")
        await until("what needs nobody has ended", lambda: states() == ENDS | NEED_A_PERSON)
        assert "paused" in saga("list", "--held")
        saga("resume", "paused", "--reason", "upgraded")
        saga("retry", "parked", "--reason", "the parcel came back")
        await until("all have ended", lambda: states() == ENDS)
        assert "before the upgrade" in saga("acts")
        assert "card declined" in saga("log", "compensated")
        figures = await count(left / ".saga", orders())
        assert figures.wrong == []
        assert up.stop() == 0
    for service in ("inventory", "payment", "orders"):
        names = {name for (name,) in rows(left / ".saga" / f"{service}.db", "SELECT name FROM sqlite_schema")}
        assert {"saga_fence", "saga_offsets", "saga_meta"} <= names
        assert {"fence", "offsets", "meta"} & names == set()
