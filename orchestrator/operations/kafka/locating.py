"""Finding one message on its topic, when somebody opens it: the store does not keep where what it sent was stored.

The key gives the partition, the moment the neighbourhood: a few records are read, never a whole topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.inspection import EARLIEST, LATEST, Inspection, PartitionState
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.waiting import within
from kafka_saga.orchestrator.operations.kafka.reading import GROUP, POLL_MS, check_answering
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.schemas import envelope

LOCATING_RECORDS_MAX = 5_000
"""Records that are looked through for one message: what a busy partition gets in a few seconds."""

LOCATING_TIMEOUT_MS = 5_000
"""Whoever opened it waits no longer; the page then says what the saga's log knows of it."""

CLOCKS_OFF_MS = 5_000
"""Kafka's clock may be behind the one by which the moment is known."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for.

    Attributes:
        message_id: its `ce_id`; a request has its sender's, so there the key is enough.
        at: when it was sent, milliseconds; it lies there or a little later.
        attempt: of a command: all its attempts have the same id.
        offset, partition: where it lies, as far as it is known.

    """

    topic: str
    key: str
    at: int
    message_id: str | None = None
    attempt: int | None = None
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """What came of it: the record, or why there is none."""

    record: Record | None
    why_not: str = ""


async def locate(kafka: KafkaSettings, sought: Sought) -> Located:
    """Look for one message.

    Raises:
        BrokerUnavailableError: Kafka does not answer within LOCATING_TIMEOUT_MS.

    """
    return await within(LOCATING_TIMEOUT_MS, "looking for the message", _locate(kafka, sought))


async def _locate(kafka: KafkaSettings, sought: Sought) -> Located:
    inspection = Inspection(kafka)
    try:
        states = (await inspection.partitions()).get(sought.topic)
        if states is None:
            return Located(None, f"topic {sought.topic} does not exist any more")
        number = crc32(sought.key.encode()) % len(states) if sought.partition is None else sought.partition
        if number >= len(states):
            return Located(None, f"{sought.topic} has no partition {number} any more")
        first, end = await _range(inspection, {sought.topic: states}, TopicPartition(sought.topic, number), sought)
    finally:
        await inspection.close()
    if sought.offset is not None and not first <= sought.offset < end:
        return Located(None, f"it is gone from {sought.topic}[{number}]: the topic's retention has deleted it")
    found = await _read(kafka, TopicPartition(sought.topic, number), first, end, sought)
    if found is None:
        return Located(None, f"it is not on {sought.topic}[{number}]: not published yet, or deleted by its retention")
    return Located(found)


async def _range(
    inspection: Inspection, states: Mapping[str, tuple[PartitionState, ...]], partition: TopicPartition, sought: Sought
) -> tuple[int, int]:
    """From which offset to which it can be."""
    ends = await inspection.offsets(states, LATEST)
    firsts = await inspection.offsets(states, EARLIEST)
    first, end = firsts.get(partition, 0), ends.get(partition, 0)
    if sought.offset is not None:
        return first, end
    near = await inspection.offsets(states, max(0, sought.at - CLOCKS_OFF_MS))
    # A broker that cannot search by time says nothing: then the newest records are looked through.
    return max(first, near.get(partition, end - LOCATING_RECORDS_MAX)), end


async def _read(kafka: KafkaSettings, partition: TopicPartition, first: int, end: int, sought: Sought) -> Record | None:
    """Look through the records from `first` on, at most LOCATING_RECORDS_MAX of them."""
    if first >= end:
        return None
    consumer = Consumer(kafka, [partition.topic], group=GROUP)
    try:
        await consumer.start({partition: sought.offset if sought.offset is not None else first})
        for other in consumer.partitions - {partition}:
            consumer.seek(other, (await consumer.end_offsets([other.topic]))[other])
        seen = 0
        while seen < LOCATING_RECORDS_MAX:
            for record in await consumer.poll(POLL_MS, BATCH_RECORDS_MAX):
                if record.partition != partition.partition:
                    continue
                seen += 1
                if is_sought(record, sought):
                    return record
            if (await consumer.positions([partition.topic]))[partition] >= end:
                return None
            check_answering(consumer)
        return None
    finally:
        await consumer.stop()


def is_sought(record: Record, sought: Sought) -> bool:
    """Whether it is the one."""
    if sought.offset is not None:
        return record.offset == sought.offset
    headers = dict(record.headers)
    if sought.message_id is None:
        return record.key == sought.key.encode()
    attempt = None if sought.attempt is None else str(sought.attempt).encode()
    same_attempt = attempt is None or headers.get(envelope.ATTEMPT) == attempt
    return headers.get(envelope.ID) == sought.message_id.encode() and same_attempt


def kcat_line(bootstrap_servers: str, topic: str, partition: int, offset: int) -> str:
    """The kcat command that prints one message with its key, headers and value."""
    shape = r"'%k %s\n  %h\n'"
    return f"kcat -C -b {bootstrap_servers} -t {topic} -p {partition} -o {offset} -c 1 -f {shape}"
