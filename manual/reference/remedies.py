"""What helps, for each code that an error has, each cause of a dead letter, and each reason to park.

The code knows what went wrong; what a person does about it is said here once, and a test finds what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from manual.complaint import ComplaintError

_Remedy = TypeVar("_Remedy")

ERRORS = {
    "error": "the message says what went wrong",
    "usage": "change the words of the call or the command; the message says which",
    "config": "correct the flag, variable or line of `saga.toml` that the message names",
    "definition": "change the definition or the handler as the message says; nothing has run yet",
    "contract": "mend what sends the message; it lies on its dead letter topic with the cause",
    "not_found": "look at the name or the id: `saga list`, `saga config show`",
    "refused": "the message says what is possible instead",
    "conflict": "read again, and decide anew",
    "not_allowed": "grant the right that the message names to that principal; `saga topics acls` prints what each role needs",
    "commit_refused": "a deferred constraint of the service's database is broken: mend the handler or the data",
    "store_refused": "use the store, group or version that the message names; one process owns a database file",
    "unavailable": "try again; the message says who does not answer",
    "broker_unavailable": "bring Kafka back, or correct its address: [operating](../operating.md#kafka-cannot-be-reached)",
    "broker_unreachable": "the same; a process that starts waits for it by itself",
    "broker_refuses": "correct the user, password, certificate or protocol: waiting does not help",
    "broker_departed": "the `saga up` that ran the embedded broker has ended: start it again, or name a Kafka",
    "store_unavailable": "bring the database back; running processes wait for it by themselves",
    "store_full": "make room on the disk of the database's server; nothing is lost, and all goes on by itself",
    "broken_store": "stop, look at the disk, and put a backup back: [backup and restore](../operating.md#backup-and-restore)",
    "unknown_topic": "`saga topics create`, by somebody who may",
    "publish_refused": "mend the topic's settings or rights: [what the broker refuses](../operating.md#what-the-broker-refuses)",
    "timed_out": "the saga goes on: ask again for its outcome, or `saga show ID`",
    "request_refused": "the request's dead letter says why; a new id, or the same body as the first time",
    "forbidden": "ask with a token of a higher role: [security](../security.md)",
    "unauthenticated": "send `Authorization: Bearer TOKEN`, or log in at `/login`",
    "idempotency_key_reused": "take another `Idempotency-Key` for another request",
    "too_many_streams": "close a stream, or ask again later",
    "too_large": "send a smaller body",
    "too_slow": "send the body at once",
    "gone": "whoever asked has gone; nothing is to be done",
    "gave_up": "a process of `saga up` ended again and again: its last lines say why",
}
"""By code."""

CAUSES = {
    "null_value": ("the value is empty (a tombstone)", "send a JSON object"),
    "too_large": ("the value is larger than 256 KiB, or than the topic takes", "send less; raise `max.message.bytes` where the broker refused ours"),
    "too_deep": ("JSON nested deeper than 32 levels", "send it flatter"),
    "bad_json": ("no JSON object: no UTF-8, a doubled key, a registry's frame, NaN", "use a plain JSON serializer"),
    "bad_schema": ("the object does not fit the model", "mend the sender or the model, then `saga dlq redrive`"),
    "bad_header": ("a header has a wrong value, or there are too many", "mend the sender"),
    "missing_header": ("a required header is missing", "mend the sender: [headers](headers.md)"),
    "bad_id": ("the saga's or the command's id has a wrong form", "1 to 128 characters of `A-Z a-z 0-9 . _ : -`"),
    "conflict": ("the saga's id exists with another request", "a new id, or the first request unchanged"),
    "unknown_saga_type": ("no definition has this type", "start the orchestrator with its module (`--app`)"),
    "unknown_saga": ("a reply for a saga that never was", "another store's, mostly: look at `replies` and `prefix`"),
    "definition_missing": ("no code has the version that the saga began with", "start the orchestrator with that module"),
    "wrong_topic": ("a service answered on another service's topic", "answer to `ce_replyto`"),
    "bad_reply_topic": ("a command asks for an answer on a topic that is not the service's", "look at who sends commands"),
    "not_authorised": ("the broker does not let us write there", "grant the right"),
    "unknown_topic": ("the topic is not there", "`saga topics create`"),
    "refused": ("a policy or rule of the topic is against it", "look at the topic's settings"),
    "timestamp": ("the broker does not take the message's time", "set the clocks right"),
    "unexplained": ("the broker gave another final answer", "look at the broker's log"),
}  # fmt: skip
"""By cause: what was wrong, and what helps."""

PARKED = {
    "compensation_failed": ("a step could not be undone", "repair the service, `saga retry`; or undo it by hand and `saga skip`"),
    "pivot_unresolved": ("the point of no return, or a step after it, has no good answer", "repair the service, `saga retry`; or do it by hand and `saga skip --data …`"),
    "definition_missing": ("no code had the saga's version", "start with that module, `saga retry`"),
    "definition_error": ("a command could not be built from the saga's data", "mend the definition, `saga retry`; or `saga cancel`"),
    "data_limit": ("the saga's data is larger than 1 MiB, or a command than 256 KiB", "`saga cancel`, or `saga resolve`"),
    "fence_expired": ("the service does not remember that far back", "look into its books, then `saga skip` or `saga resolve`"),
    "operator": ("somebody set it aside", "`saga retry` goes on"),
}  # fmt: skip
"""By reason: what happened, and what helps."""


def remedy(table: Mapping[str, _Remedy], word: str) -> _Remedy:
    """What helps against `word`.

    Raises:
        ComplaintError: nobody has written that yet.

    """
    if word not in table:
        raise ComplaintError(f"nothing says what helps against '{word}': add it to manual/reference/remedies.py")
    return table[word]
