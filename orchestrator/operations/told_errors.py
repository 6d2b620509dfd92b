"""Why sagas failed, by the events that told it: what a store that was restored from a backup cannot know (R59)."""

from __future__ import annotations

from kafka_saga.messaging.inspection import Inspection
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.reading import open_topics, until_end
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import TOLD_ERRORS_MAX
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

_CLOCKS_OFF_MS = 600_000
"""Events are looked for from somewhat before the copy was made: the broker's clock may be behind."""


async def read_told_errors(
    kafka: KafkaSettings, registry: Registry, names: TopicNames, since: int
) -> dict[SagaRef, str]:
    """The errors told since the moment `since` (milliseconds), the newest of each saga; at most TOLD_ERRORS_MAX.

    Raises:
        BrokerUnavailableError: Kafka does not answer.

    """
    types = {names.events(saga_type): saga_type for saga_type in registry.saga_types}
    inspection = Inspection(kafka)
    try:
        found = {topic: states for topic, states in (await inspection.partitions()).items() if topic in types}
        at = await inspection.offsets(found, since - _CLOCKS_OFF_MS) if found else {}
    finally:
        await inspection.close()
    errors: dict[SagaRef, str] = {}
    if not found:
        return errors
    async with open_topics(kafka, list(found)) as consumer:
        for partition, offset in at.items():
            consumer.seek(partition, offset)
        async for record in until_end(consumer, list(found)):
            told = error_told(record, types[record.topic])
            if told is not None and (told[0] in errors or len(errors) < TOLD_ERRORS_MAX):
                errors[told[0]] = told[1]
    return errors


def error_told(record: Record, saga_type: str) -> tuple[SagaRef, str] | None:
    """Which saga an event is of, and why it fails; None where it does not say so."""
    try:
        body = decode_object(record.value)
    except ContractError:
        return None  # somebody else's: events are for anyone to read, and for no one else to write
    saga_id, error = body.get("sagaId"), body.get("error")
    return (SagaRef(saga_type, saga_id), error) if isinstance(saga_id, str) and isinstance(error, str) else None
