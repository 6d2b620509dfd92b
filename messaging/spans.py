"""Spans of messages and of their batches, by OpenTelemetry's messaging conventions (version 1.44)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from kafka_saga.messaging.outlet import Sender
from kafka_saga.messaging.records import Message, Record
from kafka_saga.runtime.tracing import at_ns, context_of, failed, links_to, text_of
from kafka_saga.schemas.envelope import ID, SOURCE, TYPE
from kafka_saga.schemas.ids import CommandId
from kafka_saga.schemas.traces import TRACEPARENT, TRACESTATE, read_trace, trace_headers

Attributes = dict[str, AttributeValue]

_SYSTEM: Final = {"messaging.system": "kafka"}


def operation(name: str, kind: str) -> Attributes:
    """What is done: its name and its type of the conventions' list."""
    return {**_SYSTEM, "messaging.operation.name": name, "messaging.operation.type": kind}


def about_saga(command: CommandId, attempt: int | None = None) -> Attributes:
    """Which saga's step it is about."""
    found: Attributes = {
        "saga.type": command.saga_type,
        "saga.step": command.step,
        "saga.phase": command.phase.value,
        "messaging.message.conversation_id": command.saga_id,
    }
    if attempt is not None:
        found["saga.attempt"] = attempt
    return found


def about_record(record: Record, group: str) -> Attributes:
    """Where a message was read."""
    found: Attributes = {
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.consumer.group.name": group,
        "messaging.kafka.offset": record.offset,
    }
    if record.key is not None:
        found["messaging.kafka.message.key"] = record.key.decode(errors="replace")
    return found | _of_event(dict(record.headers))


def created(tracer: Tracer, message: Message, more: Attributes) -> Message:
    """`message` with a context of its own, inside the trace that it carries; as it is where it carries none."""
    headers = dict(message.headers)
    trace = read_trace(headers)
    if trace is None:
        return message
    attributes = operation("create", "create") | {"messaging.destination.name": message.topic} | more
    if message.key is not None:
        attributes["messaging.kafka.message.key"] = message.key.decode(errors="replace")
    span = tracer.start_span(
        f"create {message.topic}", context_of(trace), SpanKind.PRODUCER, attributes | _of_event({**headers})
    )
    span.end()
    rest = [(name, value) for name, value in message.headers if name not in {TRACEPARENT, TRACESTATE}]
    return message._replace(headers=(*rest, *trace_headers(text_of(span))))


def _of_event(headers: dict[str, bytes | None]) -> Attributes:
    found: Attributes = {}
    for header, attributes in _EVENT.items():
        value = headers.get(header)
        if value is not None:
            found |= dict.fromkeys(attributes, value.decode(errors="replace"))
    return found


_EVENT: Final = {
    ID: ("messaging.message.id", "cloudevents.event_id"),
    TYPE: ("cloudevents.event_type",),
    SOURCE: ("cloudevents.event_source",),
}


class TracedSender:
    """`Sender` that makes a `send` span of each batch."""

    def __init__(self, sender: Sender, tracer: Tracer) -> None:
        self._sender = sender
        self._tracer = tracer

    async def publish(self, messages: list[Message]) -> None:
        """As it does; an error is the span's, too."""
        topics = sorted({message.topic for message in messages})
        attributes = operation("send", "send") | {"messaging.batch.message_count": len(messages)}
        if len(topics) == 1:
            attributes["messaging.destination.name"] = topics[0]
        span = self._tracer.start_span(
            f"send {topics[0]}" if len(topics) == 1 else "send",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=links_to(read_trace(dict(message.headers)) for message in messages),
        )
        try:
            await self._sender.publish(messages)
        except BaseException as error:
            failed(span, type(error).__name__, str(error))
            raise
        finally:
            span.end()


def polled(tracer: Tracer, group: str, records: Sequence[Record], began_ms: int) -> None:
    """A `poll` span of what came."""
    attributes = operation("poll", "receive") | {
        "messaging.consumer.group.name": group,
        "messaging.batch.message_count": len(records),
    }
    topics = sorted({record.topic for record in records})
    if len(topics) == 1:
        attributes["messaging.destination.name"] = topics[0]
    span = tracer.start_span(
        f"poll {topics[0]}" if len(topics) == 1 else "poll",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        links=links_to(trace_of(record) for record in records),
        start_time=at_ns(began_ms),
    )
    span.end()


def trace_of(record: Record) -> str | None:
    """The trace that a record carries."""
    return read_trace({name: value for name, value in record.headers if value is not None})


def settled(tracer: Tracer, group: str, messages: int, began_ns: int) -> None:
    """A `commit` span: a batch's positions and effects were stored in one transaction."""
    attributes = operation("commit", "settle") | {
        "messaging.consumer.group.name": group,
        "messaging.batch.message_count": messages,
    }
    tracer.start_span("commit", kind=SpanKind.CLIENT, attributes=attributes, start_time=began_ns).end()
