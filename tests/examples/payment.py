"""One example's payment service: its process, its ledger, and what it answers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from kafka_saga.messaging.records import Record
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.envelope import Headers
from tests.integration.processes import Process, run_saga
from tests.integration.world import World


class Answer(NamedTuple):
    """A reply, as far as the contract goes."""

    command_id: str
    outcome: str
    effect: str | None
    reason: str | None
    body: dict[str, Any]


class Payment:
    """A participant that knows nothing of ours."""

    def __init__(self, world: World, program: list[str], database: Path) -> None:
        self.commands = world.topics.commands("payment")
        self.replies = world.topics.replies_of("payment")
        self.process: Process = world.add(
            "payment", [*program, world.kafka.bootstrap_servers, self.commands, str(database)]
        )
        del world.processes["payment"]  # `World.start` starts and awaits ours only
        self._world = world
        self._database = database

    async def start(self) -> None:
        """Start it beside what runs; it is ended with the rest."""
        self._world.processes["payment"] = self.process
        self.process.start()
        await self.process.said_text("ready")

    async def start_alone(self) -> None:
        """Start it without an orchestrator: the test speaks to it."""
        created = run_saga(self._world.environment, "topics", "create")
        assert created.returncode == 0, created.stderr
        await self.start()

    async def send(self, command_type: str, saga_id: str, phase: str, *, epoch: int = 1, attempt: int = 1) -> None:
        """Send a command as the orchestrator would."""
        body = {"order_id": saga_id}
        if phase == "forward":
            body |= {"customer_id": "alice", "amount": 4_990, "currency": "EUR"}
        headers: Headers = (
            ("ce_specversion", b"1.0"),
            ("content-type", b"application/json"),
            ("ce_id", f"order/{saga_id}/process_payment/{phase}/{epoch}".encode()),
            ("ce_source", b"/sagas/order"),
            ("ce_type", command_type.encode()),
            ("ce_replyto", self.replies.encode()),
            ("ce_sagaattempt", str(attempt).encode()),
            ("ce_sagastarted", b"1763890932123"),
        )
        await self._world.publish(self.commands, encode(body), saga_id.encode(), headers)

    async def charge(self, saga_id: str, **more: int) -> None:
        await self.send("chargePayment", saga_id, "forward", **more)

    async def refund(self, saga_id: str, **more: int) -> None:
        await self.send("refundPayment", saga_id, "compensate", **more)

    async def answers(self, count: int) -> list[Answer]:
        """The first `count` replies; of one saga they are in order."""
        return [_answer(record) for record in await self._world.read(self.replies, count)]

    def ledger(self) -> list[int]:
        """Every amount that was taken, or given back."""
        if not self._database.read_bytes().startswith(b"SQLite"):  # a journal: a line is a transaction
            lines = [json.loads(line) for line in self._database.read_text(encoding="utf-8").splitlines()]
            return [line["amount"] for line in lines if line["amount"]]
        with closing(sqlite3.connect(self._database)) as connection:
            return [row[0] for row in connection.execute("SELECT amount FROM ledger ORDER BY rowid")]


def _answer(record: Record) -> Answer:
    headers = {name: (value or b"").decode() for name, value in record.headers}
    return Answer(
        headers["ce_causationid"],
        headers["ce_sagaoutcome"],
        headers.get("ce_sagaeffect"),
        headers.get("ce_sagareason"),
        decode_trusted(record.value or b""),
    )
