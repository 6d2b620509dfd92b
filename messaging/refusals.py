"""What becomes of a message that the broker does not take: the table, for whoever publishes (R56)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kafka_saga.messaging.errors import RefusalReason
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX


class MessageKind(StrEnum):
    """What a message is, as far as its refusal is concerned."""

    COMMAND = "command"
    EVENT = "event"
    REPLY = "reply"
    DEAD_LETTER = "dead letter"


class Answer(StrEnum):
    """What is done instead."""

    HOLD = "hold"
    """Its topic's messages wait, in their order, and are tried again; no other topic's do."""
    TELL_SAGA = "tell the saga"
    """The saga learns at once that its command was not sent, and why."""
    DEAD_LETTER = "dead letter"
    """It is kept beside its topic."""
    CUT = "cut"
    """Its first bytes are kept, with the cause; what is refused even so is counted."""
    COUNT = "count"
    """A line in the log and a counter: nobody waits for it."""


_HELD: Final = dict.fromkeys(MessageKind, Answer.HOLD)
_GIVEN_UP: Final = {
    MessageKind.COMMAND: Answer.TELL_SAGA,
    MessageKind.EVENT: Answer.COUNT,
    MessageKind.REPLY: Answer.DEAD_LETTER,
    MessageKind.DEAD_LETTER: Answer.COUNT,
}

IN_DOUBT: Final[frozenset[RefusalReason]] = frozenset({"unexplained", "unavailable"})
"""After these nobody knows whether a copy was stored."""

ANSWERS: Final[dict[RefusalReason, dict[MessageKind, Answer]]] = {
    "too_large": {**_GIVEN_UP, MessageKind.DEAD_LETTER: Answer.CUT},
    "refused": _GIVEN_UP,
    "timestamp": _HELD,
    "unknown_topic": _HELD,
    "not_authorised": _HELD,
    "unexplained": _HELD,
    "unavailable": _HELD,
}
"""By why a message was refused. A batch that is too large, and a time that the broker does not take, are sent
otherwise first, by the producer: in smaller batches, with the broker's time."""


def answer(reason: RefusalReason, kind: MessageKind, *, held_too_long: bool = False) -> Answer:
    """What is done instead of publishing a message of `kind` that was refused for `reason`.

    Args:
        reason: why.
        kind: of the message.
        held_too_long: its topic has taken nothing for HOLD_MS_MAX. What only passes away with time is waited for
            without end.

    """
    if held_too_long and reason != "unavailable":
        return _GIVEN_UP[kind]
    return ANSWERS[reason][kind]


def kind_of(topic: str) -> MessageKind:
    """What is published to `topic`, by its name (design §4)."""
    if topic.startswith(DEAD_LETTER_PREFIX):
        return MessageKind.DEAD_LETTER
    if topic.endswith(".commands"):
        return MessageKind.COMMAND
    return MessageKind.EVENT if topic.endswith(".events") else MessageKind.REPLY
