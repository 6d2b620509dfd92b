"""Records what a release leaves behind when it is killed with sagas under way: its databases, and what was in Kafka.

    git worktree add /tmp/saga-0.1.0 be7a817 && cd /tmp/saga-0.1.0
    python3 -m venv .venv && .venv/bin/pip install -e '.[demo]'
    .venv/bin/python CHECKOUT/tests/upgrade/record.py CHECKOUT/tests/upgrade/written_by_0_1_0

It runs with the Python of the release and knows nothing of this checkout. What each order is for: test_from_0_1_0.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

SAGA = Path(sys.executable).with_name("saga")
PREFIX = "upgrade."
SERVICES = ("inventory", "payment", "orders")
PATIENCE_S = 60
FAULTS = {
    "inventory": {
        "SAGA_FAULT_REJECT": "releaseItems:saga=parked:text=the parcel has left",
        "SAGA_FAULT_LOSE": "reserveItems:saga=paused",
    },
    "payment": {"SAGA_FAULT_LOSE": "refundPayment:saga=undoing"},
    "orders": {
        "SAGA_FAULT_REJECT": "createOrder:saga=parked:text=closed;createOrder:saga=undoing:text=closed",
        "SAGA_FAULT_RAISE": "createOrder:saga=retrying:text=Database connection failed",
    },
}


class System:
    """The processes of the release, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[str]] = {}
        self.producer: Producer
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "KAFKA_"))
        }
        self.environment |= {"SAGA_TOPICS__PREFIX": PREFIX, "SAGA_LOG_FORMAT": "json", "SAGA_ALLOW_FAULTS": "1"}

    def start(self, name: str, *arguments: str, ready: str, **environment: str) -> str:
        """Start one process and wait for the line that says it is ready; that line."""
        process = subprocess.Popen(
            [SAGA, *arguments], cwd=self.folder, env=self.environment | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.running[name] = process
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line:
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return line
        sys.exit(f"{name} did not start")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def saga(self, *arguments: str) -> None:
        """Run a command that acts."""
        subprocess.run([SAGA, *arguments], cwd=self.folder, env=self.environment, capture_output=True, check=True)

    def until(self, question: str, *values: str) -> None:
        """Ask the orchestrator's database until it has a row."""
        database = f"file:{self.folder / '.saga' / 'orchestrator.db'}?mode=ro"
        for _ in range(PATIENCE_S * 20):
            with closing(sqlite3.connect(database, uri=True)) as connection:
                if connection.execute(question, values).fetchone():
                    return
            subprocess.run(["sleep", "0.05"], check=True)
        sys.exit(f"never: {question} {values}")

    def until_state(self, saga_id: str, state: str) -> None:
        self.until("SELECT 1 FROM sagas WHERE saga_id = ? AND state = ?", saga_id, state)

    def until_sent(self, saga_id: str, step: int) -> None:
        """Its command of `step` is in Kafka."""
        self.until(
            "SELECT 1 FROM sagas WHERE saga_id = ? AND current_step = ? AND NOT EXISTS (SELECT 1 FROM outbox)",
            saga_id, str(step),
        )  # fmt: skip

    def submit(self, saga_id: str, customer: str = "alice") -> None:
        """Publish a request as anybody may."""
        order = {
            "order_id": saga_id, "customer_id": customer, "items": [{"sku": "lamp", "quantity": 1}],
            "amount": 4990, "currency": "EUR",
        }  # fmt: skip
        self.producer.produce(f"{PREFIX}order.requests", json.dumps(order).encode(), saga_id.encode())
        self.producer.flush()


def play(system: System) -> None:
    """Leave one saga at each kind of place."""
    system.start("orchestrator", "orchestrator", ready="orchestrator.ready")
    for service in SERVICES:
        system.start(service, "participant", service, ready="participant.ready", **FAULTS[service])
    system.submit("completed")
    system.submit("compensated", "broke")
    for saga_id in ("completed", "compensated"):
        system.until_state(saga_id, saga_id.upper())
    system.submit("parked")
    system.until_state("parked", "PARKED")
    system.submit("paused")
    system.until_sent("paused", 1)
    system.saga("pause", "paused", "--reason", "before the upgrade")
    system.submit("undoing")  # from here on nothing may take as long as a step's attempts
    system.until_state("undoing", "COMPENSATING")
    system.submit("retrying")
    system.until(
        "SELECT 1 FROM step_log JOIN sagas USING (saga_key) WHERE saga_id = ? AND step_log.status = 'RETRY'", "retrying"
    )
    system.kill("payment")
    system.submit("reply-unread")
    system.until_sent("reply-unread", 2)
    system.kill("inventory")
    system.submit("command-unread")
    system.until_sent("command-unread", 1)
    system.kill("orchestrator")
    system.submit("request-unread")
    system.start("payment", "participant", "payment", ready="participant.ready", **FAULTS["payment"])


def as_line(record: Any) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": None if record.key is None else record.key.decode(),
        "headers": [[name, value.decode()] for name, value in record.headers],
        "value": None if record.value is None else record.value.decode(),
    }


async def records(servers: str) -> list[dict[str, Any]]:
    """Everything in Kafka, by topic, partition and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        known = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=PATIENCE_S).topics
        places = [
            TopicPartition(topic, number)
            for topic in sorted(known) if topic.startswith(PREFIX)
            for number in sorted(known[topic].partitions)
        ]  # fmt: skip
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[dict[str, Any]] = [{"topic": place.topic, "partition": place.partition} for place in places]
        for place in places:
            await consumer.seek_to_beginning(place)
            while await consumer.position(place) < ends[place]:
                polled = await consumer.getmany(place, timeout_ms=1_000)
                found += [as_line(record) for record in polled.get(place, [])]
        return found
    finally:
        await consumer.stop()


def dump(database: Path) -> str:
    """A database as SQL, with what the statements of a dump leave out."""
    with sqlite3.connect(database) as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        }
        lines = [f"PRAGMA {name} = {value};" for name, value in pragmas.items()]
        return "\n".join([*lines, *connection.iterdump()]) + "\n"


def main(to: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        system = System(Path(name))
        line = system.start("broker", "broker", ready="127.0.0.1:")
        servers = next(word.strip('",.') for word in line.split() if "127.0.0.1:" in word)
        system.environment["KAFKA_BOOTSTRAP_SERVERS"] = servers
        system.producer = Producer({"bootstrap.servers": servers})
        try:
            play(system)
            subprocess.run(["sleep", "2"], check=True)  # payment answers what lay there
            for process in ("payment", "orders"):
                system.kill(process)
            kept = asyncio.run(records(servers))
        finally:
            for process in list(system.running):
                system.kill(process)
        to.mkdir(parents=True, exist_ok=True)
        (to / "kafka.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
        for database in sorted((system.folder / ".saga").glob("*.db")):
            (to / f"{database.stem}.sql").write_text(dump(database))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
