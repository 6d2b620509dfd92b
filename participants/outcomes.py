"""What becomes of a command: how a handler refuses, and the reply as a value."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX
from kafka_saga.runtime.stacks import words_of
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.envelope import Effect, Outcome, Reason

EMPTY_BODY = b"{}"


class Rejected(Exception):  # noqa: N818 -- a business outcome, not an error
    """A handler raises it to say no for business reasons: nothing happened, and trying again would not help.

    The saga then compensates what it did before (R8). Any other exception means "try again".
    """

    def __init__(self, message: object) -> None:
        """`message` becomes the saga's error, as people read it: `out of stock: lamp`. Of anything else, its words."""
        self.message = (message if type(message) is str else _in_words(message)) or "rejected without a reason"
        super().__init__(self.message)


class Reply(NamedTuple):
    """How a command was answered."""

    outcome: Outcome
    effect: Effect = Effect.DONE
    reason: Reason | None = None
    body: bytes = EMPTY_BODY
    """One JSON object."""

    @property
    def error(self) -> str | None:
        """Why it failed; None for a success."""
        if self.outcome is Outcome.SUCCESS:
            return None
        text: str = decode_trusted(self.body)["error"]
        return text

    def to_json(self) -> str:
        """The form that is stored beside the fence, to be sent again for a duplicate."""
        # Nearly all replies begin like this; asking the cache costs a call of Python for each enum's hash.
        if self.outcome is Outcome.SUCCESS and self.effect is Effect.DONE and self.reason is None:
            before = _BEFORE_DONE
        else:
            before = _before_body(self.outcome, self.effect, self.reason)
        # The body is JSON already: it is put in, not parsed and written again.
        return (before + self.body + b"}").decode()


@cache
def _before_body(outcome: Outcome, effect: Effect, reason: Reason | None) -> bytes:
    head: dict[str, str] = {"outcome": outcome.value}
    if effect is not Effect.DONE:
        head["effect"] = effect.value
    if reason is not None:
        head["reason"] = reason.value
    return encode(head)[:-1] + b',"body":'


_BEFORE_DONE = _before_body(Outcome.SUCCESS, Effect.DONE, None)


def reply_from_json(text: str) -> Reply:
    """A stored reply."""
    stored = decode_trusted(text)
    reason = stored.get("reason")
    return Reply(
        Outcome(stored["outcome"]),
        Effect(stored.get("effect", Effect.DONE)),
        None if reason is None else Reason(reason),
        encode(stored["body"]),
    )


def failed(reason: Reason, error: str) -> Reply:
    """A `failure`: nothing happened, and nothing will (R8)."""
    return Reply(Outcome.FAILURE, Effect.DONE, reason, _error_body(error))


def try_again(error: str, reason: Reason | None = None) -> Reply:
    """A `retry`: nothing of it is kept here, and the same command may succeed later."""
    return Reply(Outcome.RETRY, Effect.DONE, reason, _error_body(error))


NOTHING_TO_UNDO = Reply(Outcome.SUCCESS, Effect.NONE)
"""A compensation found that its action never ran, and saw to it that it never will (R9)."""


def describe_error(error: BaseException) -> str:
    """An exception as a saga's error: its words, or its class's name when it has none (R10)."""
    words = words_of(error)
    # A KeyError's words are the key alone, in quotes.
    return f"{type(error).__name__}: {words}" if isinstance(error, KeyError) else words or type(error).__name__


def _in_words(told: object) -> str:
    if isinstance(told, BaseException):
        return describe_error(told)
    try:
        return str.__str__(str(told))
    except BaseException as error:  # a user's class may raise anything
        if is_pressed(error):
            raise
        return type(told).__name__


def why(rejected: Rejected) -> str:
    """What a refusal says; a class derived from it may have left out, or put anything into, `message`."""
    try:
        message = rejected.message
    except BaseException as error:
        if is_pressed(error):
            raise
        return describe_error(rejected)
    return message if type(message) is str else _in_words(message)


def _error_body(error: str) -> bytes:
    # Text from foreign libraries may hold lone surrogates, which JSON cannot carry.
    return encode({"error": error[:ERROR_TEXT_LENGTH_MAX].encode(errors="replace").decode()})
