"""Several orchestrators on one store and several workers of each service, in real processes, each to be broken."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.kafka.kafka import Broker
from deploy.postgres.postgres import Server
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.topics import TopicNames
from tests.chaos.network import Namespace
from tests.integration.books import Books
from tests.integration.processes import Process, environment, saga_command
from tests.integration.world import ENDS, SERVICES, order

CLOCK = SystemClock()
REFUSED_EVERY = 20
"""One order in so many is refused by a service, and what was done before is undone."""


@dataclass
class Member:
    """An orchestrator or a worker: its process, and its namespace where it has one."""

    role: str
    process: Process
    namespace: Namespace | None = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process.running():
            self.process.signal(number)


@dataclass
class Cluster:
    """The system under chaos, and somebody who orders."""

    broker: Broker
    server: Server
    folder: Path
    prefix: str
    urls: dict[str, str] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    ordered: int = 0
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended_per_s: Counter[int] = field(default_factory=Counter)
    """How many sagas ended in each second of the monotonic clock."""

    @property
    def topics(self) -> TopicNames:
        return TopicNames(prefix=self.prefix)

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.broker.bootstrap_servers)

    @property
    def replicas(self) -> list[Member]:
        return [member for member in self.members if member.role == "orchestrator"]

    @property
    def workers(self) -> list[Member]:
        return [member for member in self.members if member.role != "orchestrator"]

    def create_databases(self) -> None:
        self.urls = {role: self.server.create_database(role) for role in ("orchestrator", *SERVICES)}

    def add(self, role: str, number: int, namespace: Namespace | None = None) -> Member:
        """One more process of a role, not started yet; with a namespace it reaches its servers through that only."""
        servers, url = self.broker.bootstrap_servers, self.urls[role]
        if namespace is not None:
            servers = f"{namespace.addresses['kafka']}:{self.broker.listeners[namespace_listener(namespace)].port}"
            url = url.replace("127.0.0.1", namespace.addresses["postgres"])
        if role == "orchestrator":
            command = saga_command("orchestrator", "--app", "tests.chaos.calm_sagas", "--store", url)
        else:
            command = saga_command("participant", role, "--database", url)
        told = {
            **environment(servers, self.folder / "data", self.prefix),
            "SAGA_REPLICA": f"{role}-{number}",
            "SAGA_WORKER": f"{role}-{number}",
        }
        log = self.folder / f"{role}-{number}.log"
        process = Process(log.stem, namespace.command(command) if namespace else command, told, log)
        self.members.append(Member(role, process, namespace))
        return self.members[-1]

    async def start(self, members: Sequence[Member]) -> None:
        """Start these, and wait until they are ready."""
        for member in members:
            member.process.start()
        for member in members:
            await member.process.said("orchestrator.ready" if member.role == "orchestrator" else "participant.ready")

    async def order_at(self, rate_per_s: int, stop: asyncio.Event, orders_max: int) -> None:
        """Order at a steady rate until `stop` is set or there are `orders_max`, whatever becomes of the orders."""
        producer = Producer(self.kafka)
        topic = self.topics.requests("order")
        tick_ms = 100
        try:
            while not stop.is_set() and self.ordered < orders_max:
                began = CLOCK.monotonic_ms()
                wanted = range(self.ordered, min(orders_max, self.ordered + max(1, rate_per_s * tick_ms // 1_000)))
                await producer.publish([self._message(topic, number) for number in wanted])
                self.ordered = wanted.stop
                await CLOCK.sleep(max(0, tick_ms - (CLOCK.monotonic_ms() - began)))
        finally:
            await producer.stop()

    def _message(self, topic: str, number: int) -> Message:
        fields: dict[str, Any] = {}
        if number % REFUSED_EVERY == 0:
            fields = {"customer_id": "broke"} if number % (2 * REFUSED_EVERY) else {"items": [SOLD_OUT]}
        saga_id = f"order-{number}"
        return Message(topic, saga_id.encode(), encode(order(saga_id, **fields)))

    async def listen(self) -> None:
        """Note how each saga ends, for as long as this runs."""
        consumer = Consumer(self.kafka, [self.topics.events("order")], group=f"{self.prefix}test")
        await consumer.start({})
        try:
            while True:
                for record in await consumer.poll(500, 5_000):
                    if (dict(record.headers)["ce_type"] or b"").decode() in ENDS:
                        self._note(decode_trusted(record.value or b""))
        finally:
            await consumer.stop()

    def _note(self, body: dict[str, Any]) -> None:
        before = self.outcomes.setdefault(body["sagaId"], body)
        assert before["state"] == body["state"], f"a saga ended twice: {before} {body}"
        if before is body:
            self.ended_per_s[CLOCK.monotonic_ms() // 1_000] += 1

    async def check(self) -> None:
        """Every effect at most once, sums right in the services' own tables, and no timeout: each would be false."""
        books = Books(self.folder / "data", self.urls)
        await asyncio.to_thread(books.check, self.outcomes)
        counts = await asyncio.to_thread(books.log_counts)
        assert "TIMEOUT" not in counts, f"timeouts although nothing was late: {counts}"

    def stop(self) -> None:
        for member in self.members:
            member.thaw()
            member.process.kill()


SOLD_OUT = {"sku": "sold-out", "quantity": 1}


def namespace_listener(namespace: Namespace) -> str:
    """The name of the broker's listener for a namespace."""
    return "N" + namespace.name.rpartition("-")[2]
