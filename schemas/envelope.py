"""The envelope: CloudEvents 1.0 in binary mode, so the value stays plain JSON and everything else is a text header.

Who sends what (names: CloudEvents core and its correlation extension, `ce_saga…` is ours):

    command  ce_specversion ce_id ce_source ce_type content-type · ce_replyto ce_sagaattempt ce_sagastarted
    reply    ce_specversion ce_id ce_source ce_type content-type · ce_causationid ce_sagaoutcome ce_sagaattempt
             and, only where they say something, ce_sagaeffect ce_sagareason
    event    ce_specversion ce_id ce_source ce_type content-type · ce_sequence
    all      traceparent tracestate, where the request had them or traces are made (`traces`)

Of a reply we require only the key (or `ce_correlationid`), `ce_causationid` and `ce_sagaoutcome` (R6): a foreign
participant needs no more. Headers are few because each costs as much to build as the whole body.

CloudEvents Kafka binding: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, TypeVar

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX, ATTEMPTS_MAX, HEADERS_BYTES_MAX, HEADERS_MAX
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_object, encode, framing
from kafka_saga.schemas.ids import CommandId, parse_command_id
from kafka_saga.schemas.traces import read_trace, trace_headers, trace_id_of

Headers = tuple[tuple[str, bytes], ...]

CONTENT_TYPE = "content-type"
ID = "ce_id"
TYPE = "ce_type"
SOURCE = "ce_source"
SPECVERSION = "ce_specversion"
CORRELATION_ID = "ce_correlationid"
CAUSATION_ID = "ce_causationid"
REPLY_TO = "ce_replyto"
ATTEMPT = "ce_sagaattempt"
STARTED = "ce_sagastarted"
OUTCOME = "ce_sagaoutcome"
EFFECT = "ce_sagaeffect"
REASON = "ce_sagareason"
SEQUENCE = "ce_sequence"
ACTOR = "ce_sagaactor"

_FIXED: Headers = ((SPECVERSION, b"1.0"), (CONTENT_TYPE, b"application/json"))
_STRUCTURED = b"application/cloudevents"

_Member = TypeVar("_Member", bound=StrEnum)


class Outcome(StrEnum):
    """How a participant answers a command."""

    SUCCESS = "success"
    FAILURE = "failure"
    """A business refusal: nothing happened, and nothing will by trying again (R8)."""
    RETRY = "retry"
    """A technical failure: nobody knows whether something happened; try again."""


class Effect(StrEnum):
    """What a compensation found."""

    DONE = "done"
    NONE = "none"
    """There was nothing to undo: the action never ran, and never will (R9, R14)."""


class Reason(StrEnum):
    """Why a participant answers `failure`, or `retry`."""

    REJECTED = "rejected"
    FENCED = "fenced"
    STALE = "stale"
    FENCE_EXPIRED = "fence_expired"
    UNREADABLE = "unreadable"
    BUSY = "busy"
    """Of a `retry`: not now, for somebody else holds what the command needs; nothing failed."""


class CommandHead(NamedTuple):
    """A command's headers, read."""

    command_id: str
    parsed_id: CommandId
    command_type: str
    reply_to: str
    attempt: int
    started_at_ms: int
    """When the saga was accepted; 0 where a foreign orchestrator does not say (R16)."""
    trace: str | None = None
    """The trace that it belongs to (`schemas.traces`)."""

    def log_fields(self) -> dict[str, str | int]:
        """What log lines about this command say of it."""
        _, saga_id, step, *_ = self.parsed_id
        fields: dict[str, str | int] = {"saga_id": saga_id, "step": step, "attempt": self.attempt}
        fields["message_id"] = self.command_id
        if self.trace is not None:
            fields["trace_id"] = trace_id_of(self.trace)
        return fields


class ReplyHead(NamedTuple):
    """A reply's headers, read."""

    message_id: str | None
    command: CommandId
    outcome: Outcome
    attempt: int | None
    """The attempt it answers; None where the participant does not echo it (R7)."""
    effect: Effect
    reason: Reason | None


@lru_cache(maxsize=ATTEMPTS_MAX)
def _attempt(number: int) -> tuple[str, bytes]:
    return ATTEMPT, b"%d" % number


@lru_cache(maxsize=1024)
def _same(message_type: str, source: str, *more: tuple[str, str]) -> Headers:
    """What all messages of a kind have in common: made once, since a header costs as much as a body."""
    return (
        (TYPE, message_type.encode()),
        (SOURCE, source.encode()),
        *((name, value.encode()) for name, value in more),
    )


def command_headers(
    command_id: str,
    *,
    command_type: str,
    source: str,
    reply_to: str,
    attempt: int,
    started_at_ms: int,
    trace: str | None = None,
) -> Headers:
    """The headers of a command."""
    headers = (
        *_FIXED,
        (ID, command_id.encode()),
        *_same(command_type, source, (REPLY_TO, reply_to)),
        _attempt(attempt),
        (STARTED, b"%d" % started_at_ms),
    )
    return headers if trace is None else headers + trace_headers(trace)


def reply_headers(
    head: CommandHead,
    *,
    reply_type: str,
    source: str,
    outcome: Outcome,
    effect: Effect = Effect.DONE,
    reason: Reason | None = None,
) -> Headers:
    """The headers of the reply to the command with `head`."""
    optional: Headers = ()
    if effect is Effect.NONE:
        optional += ((EFFECT, b"none"),)
    if reason is not None:
        optional += ((REASON, reason.value.encode()),)
    if head.trace is not None:
        optional += trace_headers(head.trace)
    command_id = head.command_id.encode()
    return (
        *_FIXED,
        (ID, b"%b/r%d" % (command_id, head.attempt)),
        *_same(reply_type, source),
        (CAUSATION_ID, command_id),
        (OUTCOME, outcome.value.encode()),
        _attempt(head.attempt),
        *optional,
    )


def event_headers(event_id: str, *, event_type: str, source: str, sequence: int, trace: str | None = None) -> Headers:
    """The headers of a lifecycle event; `sequence` orders and dedupes them per saga (R26)."""
    headers = (*_FIXED, (ID, event_id.encode()), *_same(event_type, source), (SEQUENCE, b"%d" % sequence))
    return headers if trace is None else headers + trace_headers(trace)


def request_headers(request_id: str, *, request_type: str) -> Headers:
    """The headers of a request that an outbox's relay publishes. A request needs none; these say which copy it is."""
    return (*_FIXED, (ID, request_id.encode()), *_same(request_type, "/outbox"))


def actor_headers(actor: str | None) -> Headers:
    """The header of a request that says who asks; none where nobody is named."""
    return () if actor is None else ((ACTOR, actor.encode(errors="replace")),)


def read_actor(headers: Mapping[str, bytes]) -> str | None:
    """Who asks, as a request says: anybody's words, in one line, cut short. None where it says nothing."""
    told = headers.get(ACTOR)
    if told is None:
        return None
    return "".join(filter(str.isprintable, told.decode(errors="replace"))).strip()[:ACT_TEXT_LENGTH_MAX] or None


def read_headers(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, bytes]:
    """Headers by name; the last of a repeated one counts.

    Raises:
        ContractError: more or larger headers than any honest sender has.

    """
    if len(headers) > HEADERS_MAX:
        raise ContractError(Cause.BAD_HEADER, f"{len(headers)} headers; at most {HEADERS_MAX} are allowed")
    found = {name: value for name, value in headers if value is not None}
    size = len("".join(found)) + len(b"".join(found.values()))
    if size > HEADERS_BYTES_MAX:
        raise ContractError(Cause.BAD_HEADER, f"headers of {size:,} bytes; at most {HEADERS_BYTES_MAX:,} are allowed")
    return found


def unwrap_structured(headers: dict[str, bytes], value: bytes | None) -> tuple[dict[str, bytes], bytes | None]:
    """A structured-mode CloudEvent as if it had been sent in binary mode; anything else unchanged.

    Raises:
        ContractError: it says it is a structured event but is not one, or has more attributes than headers may be.

    """
    content_type = headers.get(CONTENT_TYPE)
    if content_type is None or not content_type.lower().startswith(_STRUCTURED):
        return headers, value
    event = decode_object(value)
    data = event.pop("data", None)
    if not isinstance(data, dict):
        raise ContractError(Cause.BAD_JSON, "a structured CloudEvent needs its `data` to be one JSON object")
    attributes = {f"ce_{name}": _attribute(name, value) for name, value in event.items() if value is not None}
    return read_headers([*{**headers, **attributes}.items()]), encode(data)


def read_command(headers: Mapping[str, bytes], key: bytes | None) -> CommandHead:
    """The head of a command.

    Raises:
        ContractError: a required header is missing or wrong.

    """
    command_id = _text(headers, ID)
    parsed = parse_command_id(command_id)
    _check_correlation(headers, key, parsed)
    return CommandHead(
        command_id=command_id,
        parsed_id=parsed,
        command_type=_text(headers, TYPE),
        reply_to=_text(headers, REPLY_TO),
        attempt=_number(headers, ATTEMPT) or 1,
        started_at_ms=_number(headers, STARTED) or 0,
        trace=read_trace(headers),
    )


def read_reply(headers: Mapping[str, bytes], key: bytes | None) -> ReplyHead:
    """The head of a reply (R6).

    Raises:
        ContractError: a required header is missing or wrong.

    """
    command = parse_command_id(_text(headers, CAUSATION_ID))
    _check_correlation(headers, key, command)
    message_id = headers.get(ID)
    effect = headers.get(EFFECT)
    reason = headers.get(REASON)
    return ReplyHead(
        message_id=None if message_id is None else _decoded(ID, message_id),
        command=command,
        outcome=_OUTCOMES.get(headers.get(OUTCOME, b"")) or _member(Outcome, OUTCOME, _text(headers, OUTCOME)),
        attempt=_number(headers, ATTEMPT),
        effect=Effect.DONE if effect is None else _member(Effect, EFFECT, _decoded(EFFECT, effect)),
        # A reason we do not know is a foreign participant's own word: not worth losing a reply over.
        reason=None if reason is None else _REASONS.get(reason),
    )


_REASONS = {reason.value.encode(): reason for reason in Reason}
_OUTCOMES = {outcome.value.encode(): outcome for outcome in Outcome}


def _check_correlation(headers: Mapping[str, bytes], key: bytes | None, command: CommandId) -> None:
    expected = command.saga_id.encode()
    correlation = headers.get(CORRELATION_ID)
    if expected in {key, correlation}:
        return
    if key is None and correlation is None:
        raise ContractError(
            Cause.MISSING_HEADER, f"the saga id is missing: set the record key or `{CORRELATION_ID}` to it"
        )
    framed = framing(key or b"")
    if framed is not None:
        raise ContractError(Cause.BAD_HEADER, f"the record key is {framed}: send the saga id as plain text")
    raise ContractError(Cause.BAD_HEADER, f"the key (or `{CORRELATION_ID}`) names another saga than the command's id")


def _text(headers: Mapping[str, bytes], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise ContractError(Cause.MISSING_HEADER, f"the header `{name}` is missing")
    return _decoded(name, value)


def _decoded(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ContractError(Cause.BAD_HEADER, f"the header `{name}` is not UTF-8 text") from error


def _number(headers: Mapping[str, bytes], name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if value.isdigit() and len(value) < 16:
        return int(value)
    raise ContractError(Cause.BAD_HEADER, f"the header `{name}` must be a whole number in decimal digits")


def _attribute(name: str, value: object) -> bytes:
    """An attribute of a structured event as the text that binary mode has for it."""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str | int):
        return str(value).encode()
    raise ContractError(Cause.BAD_HEADER, f"the attribute `{name}` must be text, a whole number, true or false")


def _member(kind: type[_Member], name: str, text: str) -> _Member:
    try:
        return kind(text)
    except ValueError as error:
        raise ContractError(
            Cause.BAD_HEADER,
            f"the header `{name}` must be one of: {', '.join(member.value for member in kind)}",
        ) from error
