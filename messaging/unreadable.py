"""Records that no client can parse: a header name that is not text, a damaged batch, broken compression.

aiokafka raises while it parses them, every time again, and forgets the good records before them. One such
record would block its partition for ever; so it is found, stepped over, and handed on as an empty record,
which its reader sets aside like any other that makes no sense. The records after it in the same batch share
its fate, for they are parsed in one go; a batch has one sender, so only that sender's records suffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka_errors

from messaging.records import Record, TopicPartition

_FETCH_MS = 2_000


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """Stands for a record whose bytes cannot be parsed. Key and value are None; `error` says why."""

    topic: str
    partition: int
    offset: int
    error: str
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = -1


def is_parse_error(error: Exception) -> bool:
    """Whether `error`, raised by a poll, comes from a record's bytes and not from Kafka."""
    return isinstance(error, kafka_errors.CorruptRecordException) or not isinstance(error, kafka_errors.KafkaError)


async def read_singly(
    consumer: AIOKafkaConsumer, partition: TopicPartition, position: int, end: int, records_max: int
) -> list[Record]:
    """Read `partition` record by record from `position` until `end`, `records_max`, or the unreadable one.

    That one is the last of the result, as an `UnreadableRecord`, if it was met.
    """
    records: list[Record] = []
    only = KafkaPartition(*partition)
    while position < end and len(records) < records_max:
        try:
            fetched = await consumer.getmany(only, timeout_ms=_FETCH_MS, max_records=1)
        except Exception as error:  # noqa: BLE001 - a record's bytes can raise anything
            if is_parse_error(error):  # anything else comes again with the next poll, which sees to it
                records.append(UnreadableRecord(*partition, position, f"{type(error).__name__}: {error}"))
            return records
        if not fetched:
            return records
        (record,) = fetched[only]
        records.append(record)
        position = record.offset + 1
    return records
