"""Every header that a message of ours may carry, and the words that stand in them."""

from __future__ import annotations

from types import ModuleType

from kafka_saga.messaging import dead_letters
from kafka_saga.schemas import envelope, traces
from manual.reference.tables import code, table

HEAD = """# Message headers

Each is UTF-8 text. Who must send what, and what a participant in another language does with them, is
[the wire contract](../wire-contract.md); a value of each kind of message is shown there.

"""

MEANINGS = {
    "content-type": ("all", "`application/json`; `application/cloudevents+json` for a structured event, which is read and never sent"),
    "ce_specversion": ("all", "`1.0`"),
    "ce_id": ("all", "a command's: type, saga, step, phase, epoch, kept when it is sent again; a reply's: the command's and `/r` and the attempt"),
    "ce_type": ("all", "a command's name; a reply's is that and its outcome; an event's is `order.saga.completed` and the like"),
    "ce_source": ("all", "who sent it: `/sagas/order`, `/payment`, `/outbox`"),
    "ce_replyto": ("command", "the topic to answer to"),
    "ce_sagaattempt": ("command, reply", "counts how often the command was sent; a reply echoes it"),
    "ce_sagastarted": ("command", "when the saga was accepted, milliseconds since 1970"),
    "ce_causationid": ("reply", "the command's `ce_id`, unchanged; required"),
    "ce_correlationid": ("reply", "the saga's id, where a reply has no key"),
    "ce_sagaoutcome": ("reply", "{outcome}; required"),
    "ce_sagaeffect": ("reply", "on the `success` of a compensation: {effect}"),
    "ce_sagareason": ("reply", "why it is no success: {reason}"),
    "ce_sequence": ("event", "the saga's version: orders its events, and tells copies"),
    "ce_sagaactor": ("request", "who asks, for the audit; a name and no proof"),
    "traceparent": ("all", "the trace, in W3C's form"),
    "tracestate": ("all", "what vendors add to it"),
    "ce_traceparent": ("all", "read where `traceparent` is missing; never sent"),
    "ce_tracestate": ("all", "the same for `tracestate`"),
    "__dlq.errors.topic": ("dead letter", "the topic it came on"),
    "__dlq.errors.partition": ("dead letter", "its partition"),
    "__dlq.errors.offset": ("dead letter", "its offset there"),
    "__dlq.errors.group": ("dead letter", "the consumer group that gave up"),
    "__dlq.errors.message": ("dead letter", "why, for people"),
    "__dlq.errors.delivery.count": ("dead letter", "how often it was tried"),
    "__saga.errors.cause": ("dead letter", "why, in one word: [the causes](errors.md#causes-of-dead-letters)"),
    "__saga.errors.stage": ("dead letter", "where it failed: `decode`, `validate`, `handler` or `publish`"),
    "__saga.errors.timestamp": ("dead letter", "when"),
    "__saga.errors.exception.class.name": ("dead letter", "the exception's class, where one was the reason"),
    "__saga.errors.truncated": ("dead letter", "what was cut, with its size before"),
    "dlq_replay_count": ("any", "how often the record was sent again from a dead letter"),
}  # fmt: skip
"""Who carries a header, and what it says; a test compares the names with those in the code."""


def page() -> str:
    """The page."""
    words = {
        "outcome": _words(envelope.Outcome),
        "effect": _words(envelope.Effect),
        "reason": _words(envelope.Reason),
    }
    rows = [(code(name), who, meaning.format(**words)) for name, (who, meaning) in MEANINGS.items()]
    return HEAD + table(["header", "of", "what it says"], rows)


def names_in_code() -> set[str]:
    """Every header that the code names."""
    modules: tuple[ModuleType, ...] = (envelope, traces, dead_letters)
    found = {
        value for module in modules for name, value in vars(module).items() if name.isupper() and isinstance(value, str)
    }
    return {value for value in found if not value.endswith(".") and value != "/"}


def _words(kind: type[envelope.Outcome | envelope.Effect | envelope.Reason]) -> str:
    return ", ".join(code(word.value) for word in kind)
