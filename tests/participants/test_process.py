"""The real process on a real broker: killed and started again, it leaves the same sums."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.participants.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.envelope import Outcome, ReplyHead, command_headers, read_headers, read_reply
from kafka_saga.schemas.orders import OrderItem, ReleaseItems, ReserveItems
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.brokers import BrokerUnderTest

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

ROOT = Path(__file__).parents[2]
STEP = "reserve_inventory"


@dataclass
class Service:
    """The inventory service as a process, and both ends of its topics."""

    broker: BrokerUnderTest
    topics: TopicNames
    database: Path
    producer: Producer
    consumer: Consumer
    process: asyncio.subprocess.Process | None = None
    log: list[str] = field(default_factory=list)
    replies: dict[str, list[ReplyHead]] = field(default_factory=dict)
    dead_letters: list[Record] = field(default_factory=list)

    async def start(self, **faults: str) -> None:
        """Start it, and wait until it takes signals and commands."""
        await self.launch(self.database, **faults)
        assert await self._logged("participant.ready"), "".join(self.log)

    async def launch(self, database: Path, **faults: str) -> None:
        arguments = ("inventory", self.broker.bootstrap_servers, self.topics.prefix, str(database))
        self.log = []
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.participants.service_process",
            *arguments,
            cwd=ROOT,
            env={**os.environ, "SAGA_ALLOW_FAULTS": "1", **faults},
            stderr=asyncio.subprocess.PIPE,
        )

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send `number`; the exit code and the log."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> tuple[int, str]:
        assert self.process is not None
        await self._logged(None)
        return await self.process.wait(), "".join(self.log)

    async def _logged(self, event: str | None) -> bool:
        """Read the log up to `event`, or to its end."""
        assert self.process is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while line := (await self.process.stderr.readline()).decode():
                self.log.append(line)
                if event is not None and event in line:
                    return True
        return False

    async def send(self, numbers: range, *, undo: bool = False) -> None:
        commands = [self._undo(number) if undo else self._do(number) for number in numbers]
        await self.producer.publish(commands)

    def _do(self, number: int) -> Message:
        items = [OrderItem(sku="lamp", quantity=number % 5 + 1), OrderItem(sku=_second_sku(number), quantity=1)]
        command = ReserveItems(order_id=f"order-{number}", items=items)
        return self._message(number, "forward", "reserveItems", command.model_dump_json().encode())

    def _undo(self, number: int) -> Message:
        command = ReleaseItems(order_id=f"order-{number}")
        return self._message(number, "compensate", "releaseItems", command.model_dump_json().encode())

    def _message(self, number: int, phase: str, command_type: str, body: bytes) -> Message:
        headers = command_headers(
            f"order/order-{number}/{STEP}/{phase}/1",
            command_type=command_type,
            source="/order",
            reply_to=self.topics.replies_of("inventory"),
            attempt=1,
            started_at_ms=SystemClock().now_ms(),
        )
        return Message(self.topics.commands("inventory"), f"order-{number}".encode(), body, headers)

    async def answered(self, count: int) -> None:
        """Read replies until `count` different commands are answered."""
        async with asyncio.timeout(60):
            while len(self.replies) < count:
                for record in await self.consumer.poll(200, 2_000):
                    self._take(record)

    def _take(self, record: Record) -> None:
        if record.topic.startswith("dlq."):
            self.dead_letters.append(record)
            return
        head = read_reply(read_headers(record.headers), record.key)
        self.replies.setdefault(str(head.command), []).append(head)


def _second_sku(number: int) -> str:
    return "sold-out" if number % 10 == 0 else "chair"


@pytest.fixture
async def service(kafka: BrokerUnderTest, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Service]:
    topics = TopicNames(prefix=topic_prefix)
    names = [topics.commands("inventory"), topics.replies_of("inventory")]
    names.append(dead_letter_topic(names[0]))
    await create_topics(kafka.settings, [TopicSpec(name, 4) for name in names])
    consumer = Consumer(kafka.settings, names[1:], group=f"{topic_prefix}test")
    await consumer.start({})
    service = Service(kafka, topics, tmp_path / "inventory.db", Producer(kafka.settings), consumer)
    yield service
    if service.process is not None and service.process.returncode is None:
        await service.end(signal.SIGKILL)
    await consumer.stop()
    await service.producer.stop()


def check_sums(service: Service, *, orders: int, undone: int) -> None:
    """Orders 0 … orders-1 were reserved but for those that are sold out, and the first `undone` were released."""
    with closing(sqlite3.connect(service.database)) as database:
        rows = dict(database.execute("SELECT saga_id, status || releases FROM reservations").fetchall())
        [(count,)] = database.execute("SELECT count(*) FROM reservations").fetchall()
        [(missing,)] = database.execute("SELECT initial - available FROM stock WHERE sku = 'lamp'").fetchall()
    assert count == len(rows)
    assert rows == {
        f"order-{number}": "released1" if number < undone else "held0" for number in range(orders) if number % 10
    }
    assert missing == sum(number % 5 + 1 for number in range(undone, orders) if number % 10)


async def test_killed_again_and_again_it_answers_everything_and_does_it_once(service: Service) -> None:
    await service.start()
    await service.send(range(300))
    await service.answered(100)
    await service.end(signal.SIGKILL)
    await service.send(range(300, 600))

    # Now it dies between a commit and its replies.
    await service.start(SAGA_FAULT_CRASH="reserveItems:every=100")
    code, _ = await service.ended()
    assert code == -signal.SIGKILL

    await service.start()
    await service.answered(600)
    await service.send(range(200), undo=True)
    await service.answered(700)
    await service.end(signal.SIGKILL)
    await service.start()
    await service.send(range(200), undo=True)  # all of them twice
    await service.send(range(600, 620))  # behind them, in every partition
    await service.answered(820)
    code, errors = await service.end(signal.SIGTERM)
    assert code == 0, errors

    check_sums(service, orders=620, undone=200)
    for command_id, heads in service.replies.items():
        assert len({(head.outcome, head.effect, head.reason) for head in heads}) == 1, command_id
    failures = [command_id for command_id, heads in service.replies.items() if heads[0].outcome is Outcome.FAILURE]
    assert len(failures) == 62
    store = await open_store(service.database)
    assert sum((await store.offsets()).values()) == 1_020
    await store.close()


async def test_a_second_process_and_a_foreign_database_are_refused(service: Service, tmp_path: Path) -> None:
    """R22, R24."""
    await service.start()
    await service.send(range(1))
    await service.answered(1)
    first = service.process
    await service.launch(service.database)
    code, errors = await service.ended()
    assert code == 4
    assert "inventory.db is in use by participant inventory" in errors

    service.process = first
    code, errors = await service.end(signal.SIGTERM)
    assert code == 0, errors
    await service.launch(tmp_path / "another.db")
    code, errors = await service.ended()
    assert code == 4
    assert "consumer group" in errors
    assert "two would do everything twice" in errors
    check_sums(service, orders=1, undone=0)


async def test_poison_on_a_real_broker_is_set_aside_and_what_follows_is_handled(service: Service) -> None:
    await service.start()
    topic = service.topics.commands("inventory")
    await service.producer.publish([Message(topic, b"x", b"{", (("ce_id", b"?"),)), Message(topic, None, None)])
    await service.send(range(1, 4))
    await service.answered(3)
    async with asyncio.timeout(30):
        while len(service.dead_letters) < 2:
            for record in await service.consumer.poll(200, 100):
                service._take(record)
    assert sorted((record.key or b"", record.value or b"") for record in service.dead_letters) == [
        (b"", b""),
        (b"x", b"{"),
    ]
    code, errors = await service.end(signal.SIGTERM)
    assert code == 0, errors
