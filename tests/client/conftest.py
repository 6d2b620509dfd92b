"""A client on the run's broker, and somebody who tells what sagas did as an orchestrator tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kafka_saga.client import SagaClient, SagaType
from kafka_saga.messaging import waiting
from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.orchestrator.operations.kafka.reading import open_topics, until_end
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import event_headers
from kafka_saga.schemas.events import LifecycleEvent, event_type
from kafka_saga.schemas.orders import OrderItem, OrderRequested
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.brokers import BrokerUnderTest

PATIENCE_MS = 30_000
ORDER = SagaType("order", OrderRequested, "order_id")

_STATES = {
    LifecycleEvent.COMPLETED: "COMPLETED",
    LifecycleEvent.COMPENSATED: "COMPENSATED",
    LifecycleEvent.PARKED: "PARKED",
    LifecycleEvent.COMPENSATING: "COMPENSATING",
}


def order(order_id: str, **fields: Any) -> OrderRequested:
    document = {
        "order_id": order_id,
        "customer_id": "alice",
        "items": [OrderItem(sku="lamp", quantity=1)],
        "amount": 4_990,
        "currency": "EUR",
    }
    return OrderRequested.model_validate({**document, **fields})


class Teller:
    """Writes `order.events` and dead letters, as an orchestrator does, and reads what was asked for."""

    def __init__(self, broker: BrokerUnderTest, prefix: str) -> None:
        self.settings = broker.settings
        self.topics = TopicNames(prefix=prefix)
        self.producer = Producer(broker.settings)

    async def prepare(self, partitions: int = 4, *, with_letters: bool = True) -> None:
        requests = self.topics.requests("order")
        names = [requests, self.topics.events("order"), *([dead_letter_topic(requests)] if with_letters else [])]
        await create_topics(self.settings, [TopicSpec(name, partitions) for name in names])

    def event(
        self, saga_id: str, event: LifecycleEvent, sequence: int, *, request: Any = None, **fields: Any
    ) -> Message:
        body = {
            "sagaId": saga_id,
            "state": _STATES.get(event, "RUNNING"),
            "currentStep": 1,
            "stepsExecuted": [],
            "stepsCompensated": [],
            "error": None,
            "data": {"request": request if request is not None else order(saga_id).model_dump(), "replies": {}},
            **fields,
        }
        headers = event_headers(
            f"order/{saga_id}/{sequence}/{event}",
            event_type=event_type("order", event),
            source="/sagas/order",
            sequence=sequence,
        )
        return Message(self.topics.events("order"), saga_id.encode(), encode(body), headers)

    async def tell(self, saga_id: str, event: LifecycleEvent, sequence: int = 9, **fields: Any) -> None:
        await self.producer.publish([self.event(saga_id, event, sequence, **fields)])

    async def set_aside(self, request: Record, cause: str) -> None:
        letter = dead_letter(
            request, cause=cause, message=f"because of {cause}", stage="decode", group="orchestrator", at_ms=0
        )
        await self.producer.publish([letter])

    async def requests(self, saga_type: str = "order") -> list[Record]:
        topic = self.topics.requests(saga_type)
        while True:
            try:
                async with open_topics(self.settings, [topic]) as consumer:
                    return [record async for record in until_end(consumer, [topic])]
            except BrokerUnavailableError:
                continue  # it is just coming back


@pytest.fixture(autouse=True)
async def _nothing_left_behind() -> AsyncIterator[None]:
    """Calls to Kafka that a closed client has given up end by themselves, before the loop does."""
    yield
    if waiting._abandoned:
        await asyncio.wait(set(waiting._abandoned), timeout=PATIENCE_MS / 1_000)


@pytest.fixture
async def teller(kafka: BrokerUnderTest, topic_prefix: str) -> AsyncIterator[Teller]:
    teller = Teller(kafka, topic_prefix)
    await teller.prepare()
    yield teller
    await teller.producer.stop()


def client_of(teller: Teller, **options: Any) -> SagaClient:
    return SagaClient(kafka=teller.settings, prefix=teller.topics.prefix, **options)


@pytest.fixture
async def sagas(teller: Teller) -> AsyncIterator[SagaClient]:
    async with client_of(teller) as sagas:
        await sagas._open().reader.ready()  # so that a short wait is one for the saga
        yield sagas
