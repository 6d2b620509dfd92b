"""Effects as messages: what a decision sends, in the wire's form."""

from __future__ import annotations

from functools import cache

from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Effect, SendCommand
from kafka_saga.orchestrator.machine.saga import Saga, record_fields
from kafka_saga.orchestrator.masking import masked_record
from kafka_saga.runtime.limits import PAYLOAD_BYTES_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import command_headers, event_headers
from kafka_saga.schemas.events import LifecycleEvent, event_type
from kafka_saga.schemas.topics import TopicNames


class MessageWriter:
    """Turns effects into messages for this installation's topics."""

    def __init__(self, topics: TopicNames, first_sequence: int = 0) -> None:
        """`first_sequence` is added to the versions that events tell: those of an earlier life lie below it (R59)."""
        self._first_sequence = first_sequence
        self.commands_of = cache(topics.commands)
        self._replies_of = cache(topics.replies_of)
        self._events_of = cache(topics.events)
        self._type_of = cache(event_type)
        self._source_of = cache(_source)

    def message(self, definition: Definition | None, saga: Saga, effect: Effect) -> Message:
        """The message of one effect of a decision whose outcome is `saga`."""
        if isinstance(effect, SendCommand):
            return self._command(saga, effect)
        return self._event(definition, saga, effect.event)

    def _command(self, saga: Saga, effect: SendCommand) -> Message:
        headers = command_headers(
            str(effect.command_id),
            command_type=effect.command_type,
            source=self._source_of(saga.ref.saga_type),
            reply_to=self._replies_of(effect.service),
            attempt=effect.attempt,
            started_at_ms=saga.created_at,
            trace=saga.trace,
        )
        return Message(self.commands_of(effect.service), saga.ref.saga_id.encode(), effect.body, headers)

    def _event(self, definition: Definition | None, saga: Saga, event: LifecycleEvent) -> Message:
        saga_type, saga_id = saga.ref
        body = record_fields(definition, masked_record(definition, saga))
        value = encode(body)
        if len(value) > PAYLOAD_BYTES_MAX:
            value = encode({**body, "data": {}, "dataOmitted": True})
        sequence = self._first_sequence + saga.version
        headers = event_headers(
            f"{saga_type}/{saga_id}/{sequence}/{event}",
            event_type=self._type_of(saga_type, event),
            source=self._source_of(saga_type),
            sequence=sequence,
            trace=saga.trace,
        )
        return Message(self._events_of(saga_type), saga_id.encode(), value, headers)


def _source(saga_type: str) -> str:
    return f"/sagas/{saga_type}"
