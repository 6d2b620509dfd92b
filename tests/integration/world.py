"""The whole system in real processes on a real Kafka, and what a test may ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.kafka.reading import open_topics, until_end
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.envelope import Headers
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.integration.books import Books
from tests.integration.processes import CLOCK, PATIENCE_MS, Process, environment, run_saga, saga_command

SERVICES = ("inventory", "payment", "orders")
ENDS = ("order.saga.completed", "order.saga.compensated")


def order(saga_id: str, **fields: Any) -> dict[str, Any]:
    document = {
        "order_id": saga_id,
        "customer_id": "alice",
        "items": [{"sku": "lamp", "quantity": 2}, {"sku": "book", "quantity": 1}],
        "amount": 4_990,
        "currency": "EUR",
    }
    return {**document, **fields}


class World:
    """An orchestrator, three participants, and somebody who orders."""

    def __init__(self, bootstrap_servers: str, folder: Path, prefix: str) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap_servers)
        self.topics = TopicNames(prefix=prefix)
        self.data_dir = folder / "data"
        self.environment = environment(bootstrap_servers, self.data_dir, prefix)
        self.producer = Producer(self.kafka)
        self.outcomes: dict[str, dict[str, Any]] = {}
        """The record of each saga that has ended, by its id."""
        self.processes: dict[str, Process] = {}
        self._urls: dict[str, str] = {}
        self._folder = folder
        self._events: Consumer | None = None

    @property
    def books(self) -> Books:
        return Books(self.data_dir, self._urls)

    def keep_in(self, url: str) -> None:
        """The orchestrator's store is that PostgreSQL database, and no file."""
        self._urls["orchestrator"] = self.environment["SAGA_STORE"] = url

    @property
    def orchestrator(self) -> Process:
        return self.processes["orchestrator"]

    async def start(
        self,
        *flags: str,
        services: Iterable[str] = SERVICES,
        faults: Mapping[str, Mapping[str, str]] | None = None,
    ) -> World:
        """Start everything, and wait until all are ready.

        Args:
            flags: of the orchestrator.
            services: whose participants run.
            faults: `SAGA_FAULT_…` variables of each service.

        """
        self.add("orchestrator", saga_command("orchestrator", *flags)).start()
        for service in services:
            allowed = {"SAGA_ALLOW_FAULTS": "1"} if faults and service in faults else {}
            process = self.add(service, saga_command("participant", service))
            process.start(**allowed, **(faults or {}).get(service, {}))
        await self.ready()
        self._events = Consumer(self.kafka, [self.topics.events("order")], group=f"{self.topics.prefix}test")
        await self._events.start({})
        return self

    def add(self, name: str, command: list[str]) -> Process:
        self.processes[name] = Process(name, command, self.environment, self._folder / f"{name}.log")
        return self.processes[name]

    async def ready(self, *names: str) -> None:
        """Wait until all, or those of `names`, are ready."""
        for name in names or tuple(self.processes):
            await self.processes[name].said("orchestrator.ready" if name == "orchestrator" else "participant.ready")

    def memory_peaks_mb(self) -> dict[str, float]:
        """The most memory that each process has held at once."""
        return {name: process.memory_peak_mb() for name, process in self.processes.items()}

    async def stop(self) -> None:
        """End every process by its own id, whatever state it is in."""
        for process in self.processes.values():
            process.kill()
        if self._events is not None:
            await self._events.stop()
        await self.producer.stop()

    async def order(self, *saga_ids: str, **fields: Any) -> None:
        """Somebody orders: bare JSON, keyed by nothing but the order's id."""
        topic = self.topics.requests("order")
        await self.producer.publish(
            [Message(topic, saga_id.encode(), encode(order(saga_id, **fields))) for saga_id in saga_ids]
        )

    async def publish(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> None:
        await self.producer.publish([Message(topic, key, value, headers)])

    async def ended(
        self, count: int, patience_ms: int = 2 * PATIENCE_MS, meanwhile: Callable[[], None] = lambda: None
    ) -> dict[str, dict[str, Any]]:
        """Wait until `count` sagas have ended, doing `meanwhile` again and again; their records by id."""
        assert self._events is not None
        deadline = CLOCK.monotonic_ms() + patience_ms
        while len(self.outcomes) < count:
            if CLOCK.monotonic_ms() > deadline:
                raise AssertionError(f"{len(self.outcomes)} of {count} sagas ended; {self._say()}")
            meanwhile()
            self._alive()
            for record in await self._events.poll(500, 2_000):
                self._note(record)
        return self.outcomes

    async def read(self, topic: str, count: int) -> list[Record]:
        """The first `count` records of a topic."""
        consumer = Consumer(self.kafka, [topic], group=f"{self.topics.prefix}reader")
        await consumer.start({})
        records: list[Record] = []
        try:
            async with asyncio.timeout(2 * PATIENCE_MS / 1000):
                while len(records) < count:
                    records += await consumer.poll(500, 2_000)
        finally:
            await consumer.stop()
        return records

    async def read_all(self, topic: str) -> list[Record]:
        """Every record that a topic has now."""
        async with open_topics(self.kafka, [topic]) as consumer:
            return [record async for record in until_end(consumer, [topic])]

    async def dead_letters(self, topic: str, count: int) -> list[tuple[str, Record]]:
        """The first `count` dead letters of a topic, each with its cause."""
        records = await self.read(dead_letter_topic(topic), count)
        return [((dict(record.headers)["__saga.errors.cause"] or b"").decode(), record) for record in records]

    def show(self, saga_id: str) -> dict[str, Any]:
        """`saga show ID -o json`."""
        result = run_saga(self.environment, "show", saga_id, "-o", "json")
        assert (result.returncode, result.stderr) == (0, "")
        shown: dict[str, Any] = decode_trusted(result.stdout)
        return shown

    def log(self, saga_id: str, *flags: str) -> list[dict[str, Any]]:
        """`saga log ID -o jsonl`."""
        result = run_saga(self.environment, "log", saga_id, "-o", "jsonl", *flags)
        assert (result.returncode, result.stderr) == (0, "")
        return [decode_trusted(line) for line in result.stdout.splitlines()]

    def _note(self, record: Record) -> None:
        if (dict(record.headers)["ce_type"] or b"").decode() in ENDS:
            body = decode_trusted(record.value or b"")
            before = self.outcomes.setdefault(body["sagaId"], body)
            assert before["state"] == body["state"], f"a saga ended twice: {before} {body}"

    def _alive(self) -> None:
        for process in self.processes.values():
            code = process.code()
            assert code is None or code == -9, f"{process.name} ended with {code}:\n{process.output()[-3000:]}"

    def _say(self) -> str:
        return "; ".join(f"{process.name}: {process.output()[-600:]}" for process in self.processes.values())
