"""Reads topics to their end as a process of its own, and says what that took.

Memory is the process's own peak, so nothing that a test did before counts.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.unreadable import UnreadableRecord
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.schemas.codec import encode


def peak_kb() -> int:
    """Of this program alone: what `getrusage` says also counts whoever started it."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


async def main(servers: str, topic: str) -> None:
    configure_logging(process="reader", level="error", log_format="json")
    consumer = Consumer(KafkaSettings(bootstrap_servers=servers), [topic], group="reader")
    await consumer.start({})
    before_kb = peak_kb()
    ends = await consumer.end_offsets([topic])
    offsets: list[int] = []
    unreadable = polls = largest = 0
    while await consumer.positions([topic]) != ends:
        records = await consumer.poll(1_000, 2_000)
        polls += bool(records)
        offsets += [record.offset for record in records]
        unreadable += sum(isinstance(record, UnreadableRecord) for record in records)
        largest = max(largest, sum(len(record.value or b"") for record in records))
    await consumer.stop()
    told = {
        "offsets": offsets,
        "unreadable": unreadable,
        "polls": polls,
        "largestPollBytes": largest,
        "grownBytes": (peak_kb() - before_kb) * 1024,
    }
    sys.stdout.buffer.write(encode(told))


asyncio.run(main(*sys.argv[1:3]))
