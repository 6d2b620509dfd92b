"""Why sagas failed and what services refused, by the messages that told it: what a restored store cannot know (R59)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from kafka_saga.messaging.inspection import Inspection
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.kafka.reading import open_topics, until_end
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import TOLD_ERRORS_MAX
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.envelope import Outcome, Reason, read_headers, read_reply
from kafka_saga.schemas.ids import CommandId, Phase, SagaRef
from kafka_saga.schemas.topics import TopicNames

_CLOCKS_OFF_MS = 600_000
"""Messages are looked for from somewhat before the copy was made: the broker's clock may be behind."""


async def read_told_errors(
    kafka: KafkaSettings, registry: Registry, names: TopicNames, since: int
) -> dict[SagaRef, str]:
    """The errors told since the moment `since` (milliseconds), the newest of each saga; at most TOLD_ERRORS_MAX.

    Raises:
        BrokerUnavailableError: Kafka does not answer.

    """
    types = {names.events(saga_type): saga_type for saga_type in registry.saga_types}
    errors: dict[SagaRef, str] = {}
    async for record in _told_since(kafka, types, since):
        told = error_told(record, types[record.topic])
        if told is not None and (told[0] in errors or len(errors) < TOLD_ERRORS_MAX):
            errors[told[0]] = told[1]
    return errors


async def read_refusals(kafka: KafkaSettings, replies_topic: str, since: int) -> list[tuple[CommandId, str]]:
    """What a service has refused since the moment `since` (milliseconds), in any order; at most TOLD_ERRORS_MAX.

    Raises:
        BrokerUnavailableError: Kafka does not answer.

    """
    found: list[tuple[CommandId, str]] = []
    async for record in _told_since(kafka, [replies_topic], since):
        refusal = refusal_told(record)
        if refusal is not None and len(found) < TOLD_ERRORS_MAX:
            found.append(refusal)
    return found


async def _told_since(kafka: KafkaSettings, topics: Collection[str], since: int) -> AsyncIterator[Record]:
    inspection = Inspection(kafka)
    try:
        found = {topic: states for topic, states in (await inspection.partitions()).items() if topic in topics}
        at = await inspection.offsets(found, since - _CLOCKS_OFF_MS) if found else {}
    finally:
        await inspection.close()
    if not found:
        return
    async with open_topics(kafka, list(found)) as consumer:
        for partition, offset in at.items():
            consumer.seek(partition, offset)
        async for record in until_end(consumer, list(found)):
            yield record


def refusal_told(record: Record) -> tuple[CommandId, str] | None:
    """The action that a reply says was refused, and why; None where it says anything else."""
    try:
        head = read_reply(read_headers(record.headers), record.key)
        body = decode_object(record.value)
    except ContractError:
        return None
    command = head.command
    if (command.phase, head.outcome, head.reason) != (Phase.FORWARD, Outcome.FAILURE, Reason.REJECTED):
        return None
    error = body.get("error")
    return (command, error) if isinstance(error, str) else None


def error_told(record: Record, saga_type: str) -> tuple[SagaRef, str] | None:
    """Which saga an event is of, and why it fails; None where it does not say so."""
    try:
        body = decode_object(record.value)
    except ContractError:
        return None  # somebody else's: events are for anyone to read, and for no one else to write
    saga_id, error = body.get("sagaId"), body.get("error")
    return (SagaRef(saga_type, saga_id), error) if isinstance(saga_id, str) and isinstance(error, str) else None
