"""Records that no client can parse: a header name that is not text, a damaged batch, broken compression.

aiokafka raises while it parses them, every time again, and forgets the good records before them. One such
record would block its partition for ever; so it is found, stepped over, and handed on as an empty record,
which its reader sets aside like any other that makes no sense. The records after it in the same batch share
its fate, for they are parsed in one go; a batch has one sender, so only that sender's records suffer. They are
stepped over with it: a batch may hold a million records, and to fail at each of them would take hours.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka_errors
from aiokafka.protocol.fetch import FetchRequest

from kafka_saga.messaging.decompression import AllowanceSpentError
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.waiting import within
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.telemetry import log

_FETCH_MS = 2_000
_HEADER_BYTES = 1_024
"""A broker sends one whole batch even so: fetches go on where batches are larger than a client asks for."""

_HEADER = struct.Struct(">q4x4xb4x2xi")
"""Of a record batch: its first offset, its format, and how far the last offset is from the first."""

_MAGIC = 2
"""Batches of Kafka 0.11 and later; older ones hold a record each, or are met one record at a time."""

_log = log("unreadable")


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

    That one is the last of the result, as an `UnreadableRecord`, if it was met; with the rest of its batch after
    it, as far as there is room.
    """
    records: list[Record] = []
    only = KafkaPartition(*partition)
    while position < end and len(records) < records_max:
        try:
            fetched = await consumer.getmany(only, timeout_ms=_FETCH_MS, max_records=1)
        except AllowanceSpentError:
            return records  # the next poll reads on
        except Exception as error:  # noqa: BLE001 - a record's bytes can raise anything
            if is_parse_error(error):  # anything else comes again with the next poll, which sees to it
                why = f"{type(error).__name__}: {error}"
                after = min(await _batch_end(consumer, partition, position), position + records_max - len(records))
                records += [UnreadableRecord(*partition, offset, why) for offset in range(position, after)]
            return records
        if not fetched:
            return records
        (record,) = fetched[only]
        records.append(record)
        position = record.offset + 1
    return records


async def _batch_end(consumer: AIOKafkaConsumer, partition: TopicPartition, position: int) -> int:
    """The offset after the batch that holds `position`, from its header; the next one where that cannot be had."""
    only = KafkaPartition(*partition)
    client = consumer._client  # noqa: SLF001 -- aiokafka shows no batches
    request = FetchRequest(
        _FETCH_MS, 1, _HEADER_BYTES, 0, [(partition.topic, [(partition.partition, position, _HEADER_BYTES)])]
    )
    try:
        node = client.cluster.leader_for_partition(only)
        response = await within(limits.REQUEST_TIMEOUT_MS, "reading a batch's header", client.send(node, request))
        fetched: bytes = response.topics[0][1][0][-1] or b""
    except (BrokerUnavailableError, LookupError) as error:
        _log.warning("unreadable.batch_unknown", error=str(error))
        return position + 1
    if len(fetched) < _HEADER.size:
        return position + 1
    base, magic, last_delta = _HEADER.unpack_from(fetched)
    return max(position + 1, base + last_delta + 1) if magic == _MAGIC else position + 1
