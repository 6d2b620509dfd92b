"""A saga's story as JSON: what happened to it, and what each event made of its row, its log and its messages.

The recorded form is that of the outside: columns of the store, records on topics. Whatever the machine's own values
become, today's rows must be read, and the same must be written and sent (I34).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.engine.messages import MessageWriter
from kafka_saga.orchestrator.machine.decision import Decision, Ignored, Result
from kafka_saga.orchestrator.machine.events import Event, from_detail, to_detail
from kafka_saga.orchestrator.machine.saga import Hold, Saga
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.store.rows import insert_row, log_row, read_saga, update_row
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.topics import TopicNames

_WRITER = MessageWriter(TopicNames())

Pauses = Mapping[str, Hold]
Move = tuple[int, dict[str, Any], list[list[Any]], list[Any]]
"""When, what happened, what was paused, and what came of it."""


def row_of(saga: Saga) -> list[Any]:
    """The columns, in the order in which `read_saga` wants them."""
    row = insert_row(0, saga, b"")
    return [*row[:5], *row[6:8], *row[9:13], "", *row[14:]]


def as_json(value: Any) -> Any:
    """What JSON makes of it."""
    return decode_trusted(encode(value))


def move(definition: Definition, event: Event, now: int, pauses: Pauses, result: Result) -> Move:
    """One event as it is recorded."""
    told = as_json([now, to_detail(event), [list(hold) for hold in pauses.values()]])
    return (*told, outcome(definition, result))


def outcome(definition: Definition, result: Result) -> list[Any]:
    """What came of an event: the columns that it changed, its log rows, its messages."""
    if isinstance(result, Ignored):
        return ["Ignored", result.reason.value]
    if not isinstance(result, Decision):
        return [type(result).__name__, result.message]
    saga = result.saga
    messages = [_WRITER.message(definition, saga, effect) for effect in result.effects]
    decided = [update_row(saga, 0)[:-2], [log_row(0, entry) for entry in result.log], *map(_told, messages)]
    return ["Decision", *as_json(decided)]


def _told(message: Message) -> list[Any]:
    headers = [[name, value.decode()] for name, value in message.headers]
    return [message.topic, message.key.decode(), (message.value or b"").decode(), headers]


def replay(definition: Definition, row: list[Any], moves: list[Move]) -> list[list[Any]]:
    """The outcomes of the same events, by the machine as it is now."""
    saga = read_saga(tuple(row))
    found: list[list[Any]] = []
    for now, detail, holds, _ in moves:
        result = advance(definition, saga, from_detail(detail), now, {hold[0]: Hold(*hold) for hold in holds})
        found.append(outcome(definition, result))
        if isinstance(result, Decision):
            saga = result.saga
    return found
