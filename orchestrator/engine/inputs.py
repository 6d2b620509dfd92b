"""What one batch is decided from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.outlet import Unsent
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.events import Origin
from kafka_saga.orchestrator.store.port import Advance, QueuedAct, UnreadableAct
from kafka_saga.schemas.envelope import ReplyHead, read_command
from kafka_saga.schemas.ids import CommandId, SagaRef


class Request(NamedTuple):
    """A readable request for a saga."""

    ref: SagaRef
    definition: Definition
    document: dict[str, Any]
    document_bytes: int
    request_hash: bytes
    record: Record


class Reply(NamedTuple):
    """A reply whose headers are readable; its body is read once its saga is known."""

    ref: SagaRef
    head: ReplyHead
    value: bytes | None
    record: Record

    @property
    def origin(self) -> Origin:
        return Origin(self.record.topic, self.record.partition, self.record.offset, self.head.message_id)


def addressed(unsent: Unsent) -> CommandId:
    """Which command it is that will not be sent."""
    return read_command(dict(unsent.message.headers), unsent.message.key).parsed_id


@dataclass(slots=True)
class Inputs:
    """Everything that came since the last batch."""

    now: int
    requests: list[Request] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    unsent: list[Unsent] = field(default_factory=list)
    """Commands that will not be sent."""
    timers: list[SagaRef] = field(default_factory=list)
    acts: list[QueuedAct | UnreadableAct] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    offsets: dict[TopicPartition, Advance] = field(default_factory=dict)
    resets: list[Reset] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing came."""
        return not (self.offsets or self.timers or self.acts or self.unsent)

    def refs(self) -> Iterator[SagaRef]:
        """The sagas that this batch is about."""
        yield from (request.ref for request in self.requests)
        yield from (reply.ref for reply in self.replies)
        yield from (addressed(one).ref for one in self.unsent)
        yield from self.timers
        yield from (queued.ref for queued in self.acts if isinstance(queued, QueuedAct))
