"""Traces of what is sent and polled, where somebody collects them; else nothing is wrapped, and nothing is imported."""

from __future__ import annotations

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.outlet import Sender
from kafka_saga.messaging.records import Record
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.tracers import tracer


def traced_sender(sender: Sender) -> Sender:
    """`sender`, with a span for each batch."""
    found = tracer()
    if found is None:
        return sender
    from kafka_saga.messaging.spans import TracedSender  # noqa: PLC0415 -- only for who collects

    return TracedSender(sender, found)


def trace_polls(consumer: Consumer, group: str, clock: Clock) -> None:
    """Make a span of each poll of `consumer` that brings something."""
    found = tracer()
    if found is None:
        return
    from kafka_saga.messaging.spans import polled  # noqa: PLC0415 -- the same

    poll = consumer.poll

    async def traced_poll(timeout_ms: int, records_max: int) -> list[Record]:
        began_ms = clock.now_ms()
        records = await poll(timeout_ms, records_max)
        if records:
            polled(found, group, records, began_ms)
        return records

    consumer.poll = traced_poll  # type: ignore[method-assign] # who polls holds this very object
