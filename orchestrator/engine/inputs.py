"""What one batch is decided from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.outlet import Unsent
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.events import Origin
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.store.act_rows import START, STARTS
from kafka_saga.orchestrator.store.port import Advance, NotedAct, OutboxId, QueuedAct, UnreadableAct
from kafka_saga.schemas.envelope import Outcome, ReplyHead, read_actor, read_command
from kafka_saga.schemas.ids import CommandId, Phase, SagaRef
from kafka_saga.schemas.traces import trace_id_of


class Request(NamedTuple):
    """A readable request for a saga."""

    ref: SagaRef
    definition: Definition
    document: dict[str, Any]
    document_bytes: int
    request_hash: bytes
    record: Record
    trace: str | None = None
    """The trace that whoever asks works in."""
    asked_by: tuple[NotedAct, ...] = ()
    """Who asks, where the request says so: the start as an act of theirs."""


class Reply(NamedTuple):
    """A reply whose headers are readable; its body is read once its saga is known."""

    ref: SagaRef
    head: ReplyHead
    value: bytes | None
    record: Record

    @property
    def origin(self) -> Origin:
        return Origin(self.record.topic, self.record.partition, self.record.offset, self.head.message_id)


class SetAside(NamedTuple):
    """A record that cannot be used, and the dead letter that keeps it."""

    record: Record
    letter: Message


class Answered(NamedTuple):
    """A command whose reply was taken, and how long that took since its latest attempt was decided."""

    saga_type: str
    step: str
    phase: str
    outcome: str
    """Both as plain text: they are labels, and an enumeration's hash costs more than all the rest."""
    took_ms: int


class Spans(Protocol):
    """Who is told what becomes of records, where traces are made (`engine.spans`)."""

    def accepted(self, request: Request, /) -> str:
        """A request was accepted; the trace that its saga keeps."""
        ...

    def replied(self, reply: Reply, saga: Saga, /) -> None:
        """A reply was given to its saga, as it was before."""
        ...


Taken = Request | Reply | SetAside
"""What became of a record."""


def asked_by(ref: SagaRef, headers: Mapping[str, bytes], record: Record) -> tuple[NotedAct, ...]:
    """The start of a saga as an act of whoever its request names; nothing where it names nobody."""
    actor = read_actor(headers)
    if actor is None:
        return ()
    place = f"{record.topic}/{record.partition}/{record.offset}"
    act_id = f"{STARTS}{ref.saga_type}:{ref.saga_id}"
    return (NotedAct(act_id, ref, START, actor, "", f"the saga began with {place}", {"request": place}),)


def answered(definition: Definition, before: Saga, reply: Reply, now: int) -> tuple[Answered, ...]:
    """What to note of a reply that was taken; nothing, where its command was never sent from here."""
    step, phase = reply.head.command.step, reply.head.command.phase
    index = definition.index(step)
    sent_at = None if index is None else before.steps[index].sent_at
    if sent_at is None:
        return ()
    is_success = reply.head.outcome is Outcome.SUCCESS
    return (
        Answered(
            before.ref.saga_type,
            step,
            "forward" if phase is Phase.FORWARD else "compensate",
            "success" if is_success else reply.head.outcome.value,
            now - sent_at,
        ),
    )


def log_fields(saga: Saga, reply: Reply | None) -> dict[str, object]:
    """What a line says that is written while `saga` is decided, and while `reply` is given to it."""
    fields: dict[str, object] = {"saga_type": saga.ref.saga_type, "saga_id": saga.ref.saga_id}
    if saga.trace is not None:
        fields["trace_id"] = trace_id_of(saga.trace)
    if reply is not None and reply.ref == saga.ref:
        fields |= {"step": reply.head.command.step, "attempt": reply.head.attempt, "message_id": reply.head.message_id}
    return fields


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
    set_aside: list[SetAside] = field(default_factory=list)
    offsets: dict[TopicPartition, Advance] = field(default_factory=dict)
    resets: list[Reset] = field(default_factory=list)
    published: list[OutboxId] = field(default_factory=list)
    """Outbox rows that go with this batch."""

    @property
    def empty(self) -> bool:
        """Whether nothing came."""
        return not (self.offsets or self.timers or self.acts or self.unsent)

    @property
    def dead_letters(self) -> list[Message]:
        """What is kept of the records that could not be read."""
        return [one.letter for one in self.set_aside]

    @property
    def taken(self) -> list[Taken]:
        """What the records of the batch became."""
        return [*self.requests, *self.replies, *self.set_aside]

    def refs(self) -> Iterator[SagaRef]:
        """The sagas that this batch is about."""
        yield from (request.ref for request in self.requests)
        yield from (reply.ref for reply in self.replies)
        yield from (addressed(one).ref for one in self.unsent)
        yield from self.timers
        yield from (queued.ref for queued in self.acts if isinstance(queued, QueuedAct))
