"""An outside producer and observer: what any client of Kafka could do, and a look into the store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.demo.follower import Follower
from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.codec import JsonObject
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic


class Outsider:
    """Publishes orders, follows what becomes of them, and reads the store."""

    def __init__(self, kafka: KafkaSettings, topics: TopicNames, seen: Callable[[str, JsonObject], None]) -> None:
        """`seen` gets each saga's id and record when it says something on `order.events`."""
        self.kafka = kafka
        self.topics = topics
        self.clock = SystemClock()
        self.published: list[str] = []
        """The key of every good request that was published, repetitions included."""
        self._seen = seen
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, _error: BaseException | None, _trace: object) -> None:
        await self._closing.aclose()

    async def attach(self, store: StoreLocation) -> None:
        """Begin to publish, follow and read.

        Raises:
            SagaError: Kafka or the store is not there.

        """
        self.producer = Producer(self.kafka, clock=self.clock)
        self._closing.push_async_callback(self.producer.stop)
        self.follower = self._follower()
        self._closing.push_async_callback(self.follower.stop)
        await self.follower.start()
        self.reader = await StoreReader.open(store)
        self._closing.push_async_callback(self.reader.close)

    async def publish(self, *orders: Order) -> None:
        """Publish requests for these orders, as an order service would: key and JSON, nothing else."""
        topic = self.topics.requests("order")
        await self.producer.publish([Message(topic, order.order_id.encode(), order.request) for order in orders])
        self.published += [order.order_id for order in orders]

    async def publish_raw(self, key: str, value: bytes) -> None:
        """Publish something that is no request."""
        await self.producer.publish([Message(self.topics.requests("order"), key.encode(), value)])

    def _follower(self) -> Follower:
        events = self.topics.events("order")
        read = [events, dead_letter_topic(self.topics.requests("order"))]
        consumer = Consumer(self.kafka, read, group=f"{self.topics.prefix}demo", clock=self.clock)
        return Follower(consumer, events=events, seen=self._seen)
