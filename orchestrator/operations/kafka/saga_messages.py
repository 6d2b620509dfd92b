"""The messages of one saga, as they lie in Kafka: what it was asked, what it asked, what it was answered and told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from kafka_saga.messaging.inspection import Inspection
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.operations.kafka.messages import IdFields, concerns, describe, id_fields, topics_of
from kafka_saga.orchestrator.operations.kafka.reading import open_topics, until_end
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.live_limits import MESSAGES_SEARCHED_MAX
from kafka_saga.schemas.topics import TopicNames

CLOCKS_OFF_MS = 60_000
"""Messages are looked for from somewhat before the saga began: the broker's clock may be behind, a request waits."""


@dataclass(frozen=True, slots=True)
class SagaMessages:
    """What was found.

    Attributes:
        messages: as `operations.kafka.messages.describe` has them, oldest first.
        is_whole: False where there were more records to look through than one question may.

    """

    messages: list[dict[str, Any]]
    is_whole: bool


async def read_saga_messages(
    kafka: KafkaSettings,
    registry: Registry,
    topics: TopicNames,
    saga: Saga,
    secrets: frozenset[str] | None,
    *,
    limit: int,
) -> SagaMessages:
    """The messages about a saga, of which `secrets` is hidden, that are still in Kafka, oldest first, at most `limit`.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    fields = id_fields(registry, topics)
    fields.secrets[saga.ref] = secrets
    names = topics_of(registry, topics, definition)
    found, is_whole = await _search(kafka, names, saga, fields)
    found.sort(key=lambda record: (record.timestamp, record.topic, record.partition, record.offset))
    return SagaMessages([describe(record, fields) for record in found[:limit]], is_whole and len(found) <= limit)


async def _search(
    kafka: KafkaSettings, names: Collection[str], saga: Saga, fields: IdFields
) -> tuple[list[Record], bool]:
    inspection = Inspection(kafka)
    try:
        there = {name: states for name, states in (await inspection.partitions()).items() if name in names}
        begins = await inspection.offsets(there, max(0, saga.created_at - CLOCKS_OFF_MS)) if there else {}
    finally:
        await inspection.close()
    found: list[Record] = []
    if not there:
        return found, True
    looked_at = 0
    async with open_topics(kafka, list(there)) as consumer:
        ends = await consumer.end_offsets(list(there)) if begins else {}
        for partition in ends:  # what has none since then has nothing for us; a broker without an index says so of all
            consumer.seek(partition, begins.get(partition, ends[partition]))
        async for record in until_end(consumer, list(there)):
            looked_at += 1
            if concerns(record, saga.ref.saga_id, fields):
                found.append(record)
            if looked_at >= MESSAGES_SEARCHED_MAX:
                return found, False
    return found, True
