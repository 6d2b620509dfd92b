"""Two real workers of one service on PostgreSQL and a real Kafka: killed, frozen, woken up, and nothing twice (R77)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.brokers import BrokerUnderTest
from tests.participants.adapters import new_schema
from tests.participants.test_process import ROOT, Service
from tests.postgres import PostgresUnderTest

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

CLOCK = SystemClock()


class Workers:
    """Processes of the inventory service by name, and both ends of its topics."""

    def __init__(self, service: Service, url: PostgresUrl) -> None:
        self.service = service
        self.url = url
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.logs: dict[str, list[str]] = {}
        self._reading: list[asyncio.Task[None]] = []

    async def start(self, name: str) -> None:
        arguments = ("inventory", self.service.broker.bootstrap_servers, self.service.topics.prefix)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.participants.service_process",
            *(*arguments, self.url.secret_text, name),
            cwd=ROOT,
            env=dict(os.environ),
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes[name], self.logs[name] = process, []
        self._reading.append(asyncio.create_task(self._read(name, process)))

    async def holds(self, name: str, *, at_least: int = 1, words: str = "group.assigned") -> None:
        """Wait until the worker has said so."""
        async with asyncio.timeout(60):
            while sum(words in line for line in self.logs[name]) < at_least:
                await CLOCK.sleep(50)

    async def end(self, name: str, number: signal.Signals) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        async with asyncio.timeout(30):
            return await process.wait()

    async def close(self) -> None:
        for name in list(self.processes):
            await self.end(name, signal.SIGKILL)
        await asyncio.gather(*self._reading)

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := (await process.stderr.readline()).decode():
            self.logs[name].append(line)


@pytest.fixture
async def workers(kafka: BrokerUnderTest, postgres: PostgresUnderTest, topic_prefix: str) -> AsyncIterator[Workers]:
    topics = TopicNames(prefix=topic_prefix)
    names = [topics.commands("inventory"), topics.replies_of("inventory")]
    names.append(dead_letter_topic(names[0]))
    await create_topics(kafka.settings, [TopicSpec(name, 4) for name in names])
    consumer = Consumer(kafka.settings, names[1:], group=f"{topic_prefix}test")
    await consumer.start({})
    service = Service(kafka, topics, Path("none"), Producer(kafka.settings), consumer)
    workers = Workers(service, await new_schema(postgres))
    yield workers
    await workers.close()
    await consumer.stop()
    await service.producer.stop()


async def check(url: PostgresUrl, *, orders: int, undone: int) -> int:
    """Each order once, the sums right, and nothing claimed; how many commands are behind the offsets."""
    connection = await asyncpg.connect(url.secret_text)
    try:
        rows = await connection.fetch("SELECT saga_id, status || releases FROM reservations")
        found = dict(rows)
        assert len(rows) == len(found), "an action took effect twice"
        assert found == {
            f"order-{number}": "released1" if number < undone else "held0" for number in range(orders) if number % 10
        }
        missing = await connection.fetchval("SELECT initial - available FROM stock WHERE sku = 'lamp'")
        assert missing == sum(number % 5 + 1 for number in range(undone, orders) if number % 10)
        assert await connection.fetchval("SELECT count(*) FROM saga_fence WHERE status = 'claimed'") == 0
        return int(await connection.fetchval("SELECT sum(next) FROM saga_offsets"))
    finally:
        await connection.close()


async def test_workers_that_are_killed_and_frozen_leave_every_command_done_once(workers: Workers) -> None:
    service = workers.service
    await workers.start("one")
    await workers.holds("one")
    await workers.start("two")
    await workers.holds("two")
    await service.send(range(300))
    await service.answered(150)

    # Killed in the middle, and back under its name at once: its partitions have waited for it.
    await workers.end("one", signal.SIGKILL)
    await service.send(range(300, 500))
    await workers.start("one")
    await service.answered(500)

    # Frozen for longer than its session: the other gets its partitions, and what it wakes up with changes nothing.
    frozen = workers.processes["one"]
    frozen.send_signal(signal.SIGSTOP)
    await service.send(range(200), undo=True)
    await service.answered(700)
    frozen.send_signal(signal.SIGCONT)
    await service.send(range(500, 600))
    await service.send(range(200), undo=True)  # all of them twice
    await service.answered(800)
    await workers.holds("one", at_least=2)

    for name in ("one", "two"):
        code = await workers.end(name, signal.SIGTERM)
        assert code == 0, "".join(workers.logs[name])
    assert await check(workers.url, orders=600, undone=200) == 1_000
    for command_id, heads in service.replies.items():
        assert len({(head.outcome, head.effect, head.reason) for head in heads}) == 1, command_id
    failures = [command_id for command_id, heads in service.replies.items() if heads[0].outcome is Outcome.FAILURE]
    assert len(failures) == 60


async def test_two_workers_of_one_name_are_refused_and_the_first_goes_on(workers: Workers) -> None:
    service = workers.service
    await workers.start("one")
    await workers.holds("one")
    first, log = workers.processes.pop("one"), workers.logs["one"]
    await workers.start("one")
    assert await workers.processes.pop("one").wait() == 4
    async with asyncio.timeout(10):
        while not any("saga:" in line for line in workers.logs["one"]):
            await CLOCK.sleep(20)
    last = [line for line in workers.logs["one"] if line.startswith("saga:")]
    assert len(last) == 1
    assert "a worker of inventory named 'one' is at work in" in last[0]
    workers.processes["one"], workers.logs["one"] = first, log
    await service.send(range(1, 20))
    await service.answered(19)
