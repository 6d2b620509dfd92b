"""A message of the conversation, opened: as it lies on Kafka; where it is gone, what the saga's log knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.machine.events import Replied, ReplyUnreadable
from kafka_saga.orchestrator.operations.kafka.locating import Sought, kcat_line, locate
from kafka_saga.orchestrator.operations.kafka.messages import describe, id_fields
from kafka_saga.orchestrator.operations.sagas.history import Turn
from kafka_saga.orchestrator.operations.sagas.telling import Told
from kafka_saga.runtime.errors import NotFoundError, SagaError
from kafka_saga.schemas.topics import TopicNames

VALUE_SHOWN_MAX = 20_000
"""Characters of a value that a page shows; `kcat` and the JSON have it whole."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What is shown of one message.

    Attributes:
        where: `topic[partition]@offset`; empty where it is not known.
        value: its value, written for people.
        headers: by name; empty where only Kafka knows them.
        remark: what has to be said about it: it is gone, it was cut.
        kcat: the command that prints it; empty where it is nowhere.

    """

    name: str
    topic: str
    where: str
    value: str
    headers: Mapping[str, str]
    remark: str
    kcat: str


async def opened(desk: Desk, told: Told, number: int, place: str) -> Opened:
    """Open the message at `place` (`in`, or which of those that went out) of the change `number`.

    Raises:
        NotFoundError: there is no such message.

    """
    turn = next((one for one in told.history.turns if one.number == number), None)
    if turn is None:
        raise NotFoundError(f"the saga has no change {number}")
    topics = desk.topics
    name, sought, known = _sought(told, turn, place, topics)
    try:
        found = await locate(desk.kafka, sought)
    except SagaError as error:
        return _unlocated(name, sought, known, f"Kafka was not asked successfully: {error}")
    if found.record is None:
        return _unlocated(name, sought, known, found.why_not[0].upper() + found.why_not[1:])
    fields = id_fields(desk.registry, topics)
    async with desk.reader() as reader:
        fields.secrets[told.saga.ref] = await reader.secrets(told.saga.ref)
    shown = describe(found.record, fields)
    where = f"{shown['topic']}[{shown['partition']}]@{shown['offset']}"
    value, cut = written(shown["value"])
    line = kcat_line(desk.kafka.bootstrap_servers, shown["topic"], shown["partition"], shown["offset"])
    return Opened(name, sought.topic, where, value, shown["headers"], cut, line)


def _unlocated(name: str, sought: Sought, known: Any, why: str) -> Opened:
    value, cut = ("", "") if known is None else written(known)
    told = "" if known is None else " This is what the saga's log knows of it."
    return Opened(name, sought.topic, "", value, {}, f"{why}.{told} {cut}".strip(), "")


def _sought(told: Told, turn: Turn, place: str, topics: TopicNames) -> tuple[str, Sought, Any]:
    saga_type, saga_id = told.saga.ref
    if place == "in":
        event = turn.event
        if turn.number == 0:
            return "request", Sought(topics.requests(saga_type), saga_id, turn.at), told.saga.request
        if isinstance(event, Replied | ReplyUnreadable) and event.origin is not None:
            origin = event.origin
            sought = Sought(origin.topic, saga_id, turn.at, partition=origin.partition, offset=origin.offset)
            return f"reply of {event.step}", sought, event.body if isinstance(event, Replied) else None
        raise NotFoundError(f"no message came in at change {turn.number}, or the log does not say where it lies")
    sent = turn.sent or ()
    if not place.isdigit() or int(place) >= len(sent):
        raise NotFoundError(f"change {turn.number} has no message {place}")
    one = sent[int(place)]
    return one.message_type, Sought(one.topic, saga_id, turn.at, one.message_id, one.attempt), one.body


def written(value: Any) -> tuple[str, str]:
    """A value for people, and a remark where it was cut."""
    if value is None:
        return "", "It has no value."
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2, default=dict).decode()
    if len(text) <= VALUE_SHOWN_MAX:
        return text, ""
    return text[:VALUE_SHOWN_MAX], f"Cut: {len(text):,} characters, of which {VALUE_SHOWN_MAX:,} are shown."
