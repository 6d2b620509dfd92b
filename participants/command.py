"""One command on its way through a participant."""

from __future__ import annotations

from typing import NamedTuple

from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.participants.handlers import Handler
from kafka_saga.schemas.envelope import CommandHead


class FenceKey(NamedTuple):
    """What a fence row is about: one step of one saga, whatever its phase and epoch (R14)."""

    saga_type: str
    saga_id: str
    step: str


class Command(NamedTuple):
    """A command whose headers are good. Its body is parsed only when its handler is to run."""

    head: CommandHead
    key: FenceKey
    value: bytes | None
    handler: Handler | None
    """None: this participant does not know the type (yet, or any more)."""
    record: Record | None = None
    """Where it was read; None when it comes from the fence, or from a test."""

    @property
    def source(self) -> tuple[TopicPartition, int] | None:
        """The partition and offset it came from."""
        if self.record is None:
            return None
        return TopicPartition(self.record.topic, self.record.partition), self.record.offset


def command_of(
    head: CommandHead, value: bytes | None, handler: Handler | None, record: Record | None = None
) -> Command:
    """The command with `head`."""
    parsed = head.parsed_id
    return Command(head, FenceKey(parsed.saga_type, parsed.saga_id, parsed.step), value, handler, record)
