"""Whether records come: what `/readyz` says of a process's group."""

from __future__ import annotations

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.group_consumer import GroupConsumer
from kafka_saga.runtime.health import Finding
from kafka_saga.runtime.limits import UNANSWERED_MS_MAX
from kafka_saga.runtime.wording import counted, duration


def look_at_group(consumer: Consumer) -> Finding:
    """Whether the group is joined, where there is one to join, and brokers answer. Nothing is asked."""
    if isinstance(consumer, GroupConsumer) and not consumer.has_joined:
        return Finding(ok=False, seen="it is not in its group")
    silent_ms = consumer.silent_ms
    if silent_ms >= UNANSWERED_MS_MAX:
        return Finding(ok=False, seen=f"no broker has answered for {duration(silent_ms)}")
    return Finding(ok=True, seen=f"reads {counted(len(consumer.partitions), 'partition')}")
