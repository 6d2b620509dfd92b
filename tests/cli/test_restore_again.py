"""`saga restore` on a Kafka: twice, killed in the middle, of copies that are others, and of one service alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.participants.store.sqlite import open_store as open_service
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import CommandHead, Outcome, Reason, reply_headers
from kafka_saga.schemas.ids import CommandId, Phase
from tests.brokers import BrokerUnderTest
from tests.cli.conftest import PATIENCE_S, FillStore, Run, Saga, completed, environment, running

pytestmark = [pytest.mark.processes, pytest.mark.kafka, pytest.mark.real_kafka]

REPLIES = "payment.replies"

KILLED = """
import os, signal, sys
left = int(sys.argv.pop(1))

def before_each_change(event, arguments):
    global left
    is_ours = event in {"os.rename", "os.remove"} and "/data/" in str(arguments[0])
    if is_ours and not (event == "os.remove" and ".restoring" in str(arguments[0])):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(before_each_change)
from kafka_saga.orchestrator.cli import main
main()
"""


class Place:
    """Topics of its own, a data directory with a store and a service's database, and a backup of both."""

    def __init__(self, kafka: BrokerUnderTest, saga: Saga, folder: Path) -> None:
        self.kafka = kafka
        self.prefix = f"restore-{os.urandom(4).hex()}."
        self.variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SAGA_TOPICS__PREFIX": self.prefix}
        self.folder = folder
        self.store = folder / "data" / "orchestrator.db"
        self.service = folder / "data" / "payment.db"
        self.copies = folder / "monday"
        self._saga = saga

    def saga(self, *arguments: str) -> Run:
        return self._saga(*arguments, **self.variables)

    def restore(self, *choice: str) -> Run:
        return self.saga("restore", str(self.copies), *choice, "--yes", "--json")

    def killed(self, at: int, *choice: str) -> int:
        """`saga restore`, killed before it renames or removes the file number `at`; its exit code."""
        command = [sys.executable, "-c", KILLED, str(at), "restore", str(self.copies), *choice, "--yes"]
        variables = environment(self.folder, **self.variables)
        done = subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, timeout=PATIENCE_S, check=False
        )
        return done.returncode

    def sagas(self) -> list[dict[str, Any]]:
        return self.saga("list", "-o", "jsonl").rows


async def _fill(place: Place) -> None:
    names = [f"{place.prefix}{name}" for name in ("order.requests", "order.events", "payment.commands", REPLIES)]
    await create_topics(place.kafka.settings, [TopicSpec(name, 1) for name in names])
    service = await open_service(place.service)
    await service.close()


async def _publish(place: Place, messages: list[Message]) -> None:
    producer = Producer(place.kafka.settings)
    await producer.publish(messages)
    await producer.stop()


@pytest.fixture
def place(kafka: BrokerUnderTest, saga: Saga, fill_store: FillStore, tmp_path: Path) -> Place:
    place = Place(kafka, saga, tmp_path)
    asyncio.run(_fill(place))
    fill_store(running("order-1"))
    backup = place.saga("backup", str(place.copies), "--all")
    assert backup.exit_code == 0, backup.err
    fill_store(completed("order-2"))
    return place


def life(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        [(text,)] = connection.execute("SELECT value FROM meta WHERE key = 'life'").fetchall()
    found = int(text.partition('"number":')[2].split(",")[0])
    assert found > 0
    return found


def test_the_same_copy_restored_twice_begins_a_higher_life_each_time_and_keeps_what_was_there(
    place: Place,
) -> None:
    first = place.restore("--all")
    assert (first.exit_code, first.json["again"], first.json["life"]) == (0, 1, life(place.store)), first.err
    assert [row["sagaId"] for row in place.sagas()] == ["order-1"]
    second = place.restore("--all")
    assert (second.exit_code, second.json["again"]) == (0, 1), second.err
    assert second.json["life"] == life(place.store) > first.json["life"]
    kept = [*first.json["kept"], *second.json["kept"]]
    assert len(set(kept)) == 4
    assert all(Path(path).is_file() for path in kept)


def test_a_restore_that_is_killed_between_any_two_changes_is_run_again_to_its_end(place: Place) -> None:
    at, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        at += 1
        assert at < 40
        code = place.killed(at, "--all")
        for name, command in {"orchestrator": ["list"], "payment": ["backup", "again", "--all", "--force"]}.items():
            refused = place.saga(*command)
            is_half_done = place.store.with_name(f"{name}.db.restore-unfinished").exists()
            assert (refused.exit_code == 4 and "was interrupted" in refused.err) == is_half_done, refused
    assert code == 0
    assert at > 8
    assert [row["sagaId"] for row in place.sagas()] == ["order-1"]
    assert not list(place.store.parent.glob(".*.restoring*"))


def test_a_copy_of_another_store_is_refused_but_not_where_nothing_would_be_lost(
    place: Place, saga: Saga, fill_store: FillStore
) -> None:
    for path in place.store.parent.glob("orchestrator.db*"):
        path.unlink()
    fill_store()  # as a start on an empty disk leaves it
    assert place.restore("--orchestrator").exit_code == 0
    for path in place.store.parent.glob("orchestrator.db*"):
        path.unlink()
    fill_store(completed("order-9"))
    before = place.store.read_bytes()
    for choice in ("--orchestrator", "--all"):
        other = place.restore(choice)
        assert (other.exit_code, "is a copy of another store" in other.err, "--force" in other.err) == (4, True, True)
    assert place.store.read_bytes() == before
    assert place.restore("--orchestrator", "--force").exit_code == 0
    assert saga("list", "-o", "jsonl").rows[0]["sagaId"] == "order-1"


def test_the_copy_of_another_owner_is_refused_in_words(place: Place) -> None:
    for copy, choice in (("orchestrator.db", ["--service", "payment"]), ("payment.db", ["--orchestrator"])):
        wrong = place.saga("restore", str(place.copies / copy), *choice, "--yes")
        assert (wrong.exit_code, "is no copy of the database of" in wrong.err, wrong.err.count("\n")) == (4, True, 1)


@pytest.mark.parametrize("owner", ["orchestrator", "payment"])
def test_a_copy_of_a_newer_program_is_refused_and_one_of_an_older_program_is_brought_up_to_date(
    place: Place, owner: str
) -> None:
    (place.copies / "backup.json").unlink()
    copy = place.copies / f"{owner}.db"
    choice = ["--orchestrator"] if owner == "orchestrator" else ["--service", owner]
    counts = "schema_version" if owner == "orchestrator" else "saga_migrations"
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"INSERT INTO {counts} VALUES (99, 'of-the-future')")
        connection.commit()
        connection.execute("PRAGMA journal_mode=DELETE")
    newer = place.restore(*choice)
    assert (newer.exit_code, "schema version 99" in newer.err) == (4, True)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"DELETE FROM {counts} WHERE version >= ?", (2 if owner == "payment" else 6,))
        if owner == "orchestrator":
            connection.execute("DROP TABLE told_errors")
            connection.execute("ALTER TABLE sagas DROP COLUMN trace")
        connection.commit()
    older = place.restore(*choice)
    assert older.exit_code == 0, older.err


def test_what_a_service_has_refused_since_its_copy_stays_refused_when_it_is_restored_alone(place: Place) -> None:
    """It handles its commands again; the sagas of those that it refused were undone without it."""

    def reply(saga_id: str, outcome: Outcome, epoch: int = 1, reason: Reason | None = None, **body: str) -> Message:
        command = CommandId("order", saga_id, "process_payment", Phase.FORWARD, epoch)
        head = CommandHead(str(command), command, "ChargePayment", f"{place.prefix}{REPLIES}", 1, 0)
        headers = reply_headers(head, reply_type="r", source="payment", outcome=outcome, reason=reason)
        return Message(f"{place.prefix}{REPLIES}", saga_id.encode(), encode(body), headers)

    rejected = Reason.REJECTED
    asyncio.run(
        _publish(
            place,
            [
                reply("order-1", Outcome.FAILURE, reason=rejected, error="card declined"),
                reply("order-2", Outcome.SUCCESS),
                reply("order-3", Outcome.FAILURE, reason=Reason.FENCED, error="it was cancelled"),
                reply("order-4", Outcome.FAILURE, reason=rejected, error="first"),
                reply("order-4", Outcome.FAILURE, epoch=2, reason=rejected, error="second"),
                reply("order-5", Outcome.RETRY, error="later"),
                Message(f"{place.prefix}{REPLIES}", b"order-6", b"no reply at all"),
            ],
        )
    )
    dry = place.saga("restore", str(place.copies), "--service", "payment", "--dry-run")
    assert (dry.exit_code, "what it refused stays refused" in " ".join(dry.err.split())) == (0, True), dry.err
    restored = place.restore("--service", "payment")
    assert restored.exit_code == 0, restored.err
    query = "SELECT saga_id, step, status, action_epoch, action_reply FROM saga_fence ORDER BY saga_id"
    with closing(sqlite3.connect(place.service)) as connection:
        rows = connection.execute(query).fetchall()
    told = '{"outcome":"failure","reason":"rejected","body":{"error":"%s"}}'
    assert rows == [
        ("order-1", "process_payment", "failed", 1, told % "card declined"),
        ("order-4", "process_payment", "failed", 2, told % "second"),
    ]
