"""Replies that nobody asked for, between the real ones: forged, doubled, late (faults 43–45, 54; R7, R11, R13)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.records import Message, Record
from kafka_saga.schemas.envelope import Headers
from tests.crash.kills import APP, FAULTS
from tests.crash.logs import check_logs
from tests.integration.world import SERVICES, World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = 300
BODIES = {
    "inventory": b'{"reservation_id":"forged"}',
    "payment": b'{"charge_id":"forged"}',
    "orders": b'{"order_number":"forged"}',
}
LATER = {"inventory": "payment", "payment": "orders"}
STEPS = {"inventory": "reserve_inventory", "payment": "process_payment", "orders": "create_order"}


def success(command_id: str) -> Headers:
    return (("ce_causationid", command_id.encode()), ("ce_sagaoutcome", b"success"))


class Forger:
    """Reads every reply and writes what nobody asked for, until it is cancelled."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._topics = {world.topics.replies_of(service): service for service in SERVICES}
        self._seen: list[Record] = []
        self.doubled = self.foreign = self.unknown = self.early = self.late = 0

    async def run(self) -> None:
        consumer = Consumer(self._world.kafka, list(self._topics), group=f"{self._world.topics.prefix}forger")
        await consumer.start({})
        copies: set[tuple[str, int, int]] = set()
        try:
            while True:
                for record in await consumer.poll(200, 500):
                    if "forged" not in dict(record.headers) and record.key is not None:
                        await self._answer(record, copies)
        finally:
            await consumer.stop()

    async def _answer(self, record: Record, copies: set[tuple[str, int, int]]) -> None:
        """To one real reply: its copy, an old one's copy, and four that are made up."""
        service, key = self._topics[record.topic], record.key
        saga_id = (key or b"").decode()
        messages = [self._message(record.topic, key, record.value, record.headers)]
        self.doubled += 1
        if len(self._seen) > ORDERS // 2:
            old = self._seen[len(copies) % len(self._seen)]
            copies.add((old.topic, old.partition, old.offset))
            messages.append(self._message(old.topic, old.key, old.value, old.headers))
            self.late += 1
        self._seen.append(record)
        if service in LATER:
            # The next step's success before its service has been asked, and from a service that is not asked at all.
            following = LATER[service]
            command_id = f"order/{saga_id}/{STEPS[following]}/forward/2"
            topic = self._world.topics.replies_of(following)
            messages.append(self._message(topic, key, BODIES[following], success(command_id)))
            self.early += 1
            command_id = f"order/{saga_id}/{STEPS[following]}/forward/1"
            messages.append(self._message(record.topic, key, BODIES[following], success(command_id)))
            self.foreign += 1
        command_id = f"order/nobody-{saga_id}/{STEPS[service]}/forward/1"
        nobody = f"nobody-{saga_id}".encode()
        messages.append(self._message(record.topic, nobody, BODIES[service], success(command_id)))
        self.unknown += 1
        await self._world.producer.publish(messages)

    @staticmethod
    def _message(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Message:
        return Message(topic, key, value, (*headers, ("forged", b"1")))


async def test_replies_that_nobody_asked_for_change_nothing(world: World) -> None:
    await world.start(*APP, faults=FAULTS)
    forger = Forger(world)
    forging = asyncio.create_task(forger.run())
    for first in range(0, ORDERS, 20):
        ids = [f"order-{number}" for number in range(first, first + 20)]
        await world.order(*ids[:2], customer_id="broke")
        await world.order(*ids[2:])
    outcomes = await world.ended(ORDERS)
    forging.cancel()
    with suppress(asyncio.CancelledError):
        await forging
    world.books.check(outcomes)
    await check_logs(world.data_dir / "orchestrator.db", outcomes)
    states = [outcome["state"] for outcome in outcomes.values()]
    assert min(states.count("COMPLETED"), states.count("COMPENSATED")) > ORDERS / 20
    assert "forged" not in str([outcome["data"] for outcome in outcomes.values()])
    assert min(forger.doubled, forger.late, forger.early, forger.foreign, forger.unknown) > ORDERS
    causes = [
        cause
        for service in SERVICES
        for cause, _ in await world.dead_letters(world.topics.replies_of(service), ORDERS // 4)
    ]
    assert set(causes) == {"unknown_saga", "wrong_topic"}
