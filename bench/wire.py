"""Plain aiokafka, by its batch calls: what the load and the limit speak to Kafka with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

Headers = list[tuple[str, bytes]]
BATCH_BYTES = 768 * 1024
FETCH_BYTES = 16 * 1024 * 1024


def new_producer(bootstrap: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=BATCH_BYTES
    )


def new_consumer(bootstrap: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        fetch_min_bytes=1,
        fetch_max_wait_ms=100,
        fetch_max_bytes=FETCH_BYTES,
    )


async def partitions_of(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    """All partitions of `topics`, which exist."""
    found = []
    for topic in topics:
        # aiokafka knows a topic only after it was asked about it.
        await consumer._client._wait_on_metadata(topic)
        found += [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    return found


async def follow(consumer: AIOKafkaConsumer, topics: Iterable[str], *, from_end: bool) -> None:
    """Read all partitions of `topics`: from now on, or from their beginnings."""
    partitions = await partitions_of(consumer, topics)
    consumer.assign(partitions)
    offsets = await (consumer.end_offsets(partitions) if from_end else consumer.beginning_offsets(partitions))
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)


class Outlet:
    """Publishes to one topic: batches, one a partition at a time, or single messages."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions

    @classmethod
    async def to(cls, producer: AIOKafkaProducer, topic: str) -> Outlet:
        return cls(producer, topic, len(await producer.partitions_for(topic)))

    async def publish(self, rows: Iterable[tuple[bytes, bytes]], headers: Headers | None = None) -> None:
        """Publish (key, value) rows and wait until they are stored."""
        lanes: dict[int, list[tuple[bytes, bytes]]] = {}
        for row in rows:
            lanes.setdefault(crc32(row[0]) % self._partitions, []).append(row)
        stored = [future for number, lane in lanes.items() for future in await self.queue(number, lane, headers or [])]
        await asyncio.gather(*stored)

    async def send(self, key: bytes, value: bytes) -> asyncio.Future[Any]:
        """Hand one message to the producer, which sends it at once or with what else waits for its partition."""
        partition = crc32(key) % self._partitions
        stored: asyncio.Future[Any] = await self._producer.send(self._topic, value, key=key, partition=partition)
        return stored

    async def queue(
        self, partition: int, rows: Iterable[tuple[bytes, bytes]], headers: Headers
    ) -> list[asyncio.Future[Any]]:
        """Queue rows for one partition; what is done when they are stored."""
        now_ms = time.time_ns() // 1_000_000
        builder = self._producer.create_batch()
        stored: list[asyncio.Future[Any]] = []
        for key, value in rows:
            if builder.append(timestamp=now_ms, key=key, value=value, headers=headers) is None:
                stored.append(await self._producer.send_batch(builder, self._topic, partition=partition))
                builder = self._producer.create_batch()
                builder.append(timestamp=now_ms, key=key, value=value, headers=headers)
        stored.append(await self._producer.send_batch(builder, self._topic, partition=partition))
        return stored
