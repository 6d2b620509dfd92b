"""Reading topics as an operator does: from the start to where they end now, or onwards from there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX

GROUP = "saga-cli"
"""Never committed: it only names us."""

POLL_MS = 200
SILENCE_MS_MAX = 15_000


@asynccontextmanager
async def open_topics(
    kafka: KafkaSettings, topics: Collection[str], *, from_end: bool = False
) -> AsyncIterator[Consumer]:
    """A consumer of all partitions of `topics`, at their start or where they end now.

    Raises:
        UnknownTopicError: topics that do not exist.
        BrokerUnavailableError: no broker answers.

    """
    consumer = Consumer(kafka, topics, group=GROUP)
    try:
        await consumer.start({})
        if from_end:
            for partition, end in (await consumer.end_offsets(topics)).items():
                consumer.seek(partition, end)
        yield consumer
    finally:
        await consumer.stop()


async def until_end(consumer: Consumer, topics: Collection[str]) -> AsyncIterator[Record]:
    """Every record up to where `topics` end now.

    Raises:
        BrokerUnavailableError: the broker went away meanwhile.

    """
    ends = await consumer.end_offsets(topics)
    while True:
        for record in await consumer.poll(POLL_MS, BATCH_RECORDS_MAX):
            yield record
        positions = await consumer.positions(topics)
        if all(positions[partition] >= end for partition, end in ends.items()):
            return
        check_answering(consumer)


async def onwards(consumer: Consumer) -> AsyncIterator[Record]:
    """Every record that comes, until nobody asks any more."""
    while True:
        for record in await consumer.poll(POLL_MS, BATCH_RECORDS_MAX):
            yield record


def check_answering(consumer: Consumer) -> None:
    """Give up on a broker that has been silent for too long.

    Raises:
        BrokerUnavailableError: it has.

    """
    if consumer.silent_ms > SILENCE_MS_MAX:
        raise BrokerUnavailableError(f"Kafka has not answered for {consumer.silent_ms // 1000} s")
