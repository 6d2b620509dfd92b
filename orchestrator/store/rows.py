"""Sagas, log entries and outbox messages as columns, and back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

from messaging.records import Message
from orchestrator.machine.decision import LogEntry
from orchestrator.machine.saga import Parked, Saga, StepState, current_step
from orchestrator.machine.states import LogStatus, ParkReason, SagaState, StepStatus
from schemas.codec import decode_trusted, encode
from schemas.ids import SagaRef

HASH_COLUMN = 11
"""Where the statements that read sagas have the request's hash."""

_DEFAULT = StepState()
_STEP_FIELDS = tuple(zip(StepState._fields, _DEFAULT, strict=True))


def steps_text(saga: Saga) -> str:
    """Every step's state; fields at their defaults are left out."""
    return encode([_fields(step) for step in saga.steps]).decode()


def parked_text(saga: Saga) -> str | None:
    if saga.parked is None:
        return None
    parked = saga.parked
    return encode({"reason": parked.reason, "from_state": parked.from_state, "detail": parked.detail}).decode()


def insert_row(key: int, saga: Saga, request_hash: bytes) -> tuple[Any, ...]:
    """The columns of a new saga, in the table's order."""
    return (
        key,
        saga.ref.saga_type,
        saga.ref.saga_id,
        saga.definition_version,
        saga.state.value,
        current_step(saga),
        encode(saga.request).decode(),
        steps_text(saga),
        saga.wake_at,
        saga.error,
        parked_text(saga),
        saga.version,
        saga.log_seq,
        request_hash,
        saga.created_at,
        saga.updated_at,
    )


def update_row(saga: Saga, version_read: int) -> tuple[Any, ...]:
    """The columns that a transition changes, then the key and the version it read."""
    return (
        saga.state.value,
        current_step(saga),
        steps_text(saga),
        saga.wake_at,
        saga.error,
        parked_text(saga),
        saga.version,
        saga.log_seq,
        saga.updated_at,
        saga.row,
        version_read,
    )


def read_saga(row: tuple[Any, ...]) -> Saga:
    """A saga from the columns that the statements `load` and `find` read."""
    key, saga_type, saga_id, definition, state, data, steps, error, parked, version, log_seq = row[:11]
    return Saga(
        ref=SagaRef(saga_type, saga_id),
        definition_version=definition,
        state=SagaState(state),
        steps=tuple(_step(fields) for fields in decode_trusted(steps)),
        request=decode_trusted(data),
        request_bytes=len(data.encode()),
        created_at=row[12],
        updated_at=row[13],
        error=error,
        parked=None if parked is None else _parked(decode_trusted(parked)),
        version=version,
        log_seq=log_seq,
        row=key,
    )


def with_key(saga: Saga, key: int) -> Saga:
    """The saga with its row's key."""
    return replace(saga, row=key)


def log_row(key: int, entry: LogEntry) -> tuple[Any, ...]:
    detail = encode(entry.detail).decode() if entry.detail else "{}"
    return (key, entry.seq, entry.step, entry.status.value, entry.attempt, entry.at, detail)


def read_log(row: tuple[Any, ...]) -> LogEntry:
    """A log entry from `seq, step, status, attempt, at, detail`."""
    seq, step, status, attempt, at, detail = row
    return LogEntry(seq, step, LogStatus(status), attempt, at, decode_trusted(detail))


def messages_text(messages: list[Message]) -> str:
    """An outbox row's content: JSON that a person can read, whatever the bytes in a dead letter were."""
    return encode([_message(message) for message in messages]).decode()


def _message(message: Message) -> list[Any]:
    key, value = message.key, message.value
    try:
        return [
            message.topic,
            None if key is None else key.decode(),
            None if value is None else value.decode(),
            [(name, item.decode()) for name, item in message.headers],
        ]
    except UnicodeDecodeError:
        return [message.topic, _text(key), _text(value), [(name, _text(item)) for name, item in message.headers]]


def read_messages(content: str) -> list[Message]:
    return [
        Message(topic, _bytes(key), _bytes(value), tuple((name, _bytes(item) or b"") for name, item in headers))
        for topic, key, value, headers in decode_trusted(content)
    ]


def _text(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _bytes(stored: str | dict[str, str] | None) -> bytes | None:
    if stored is None:
        return None
    return stored.encode() if isinstance(stored, str) else b64decode(stored["base64"])


def _fields(step: StepState) -> dict[str, Any]:
    if step == _DEFAULT:
        return {}
    return {name: value for (name, default), value in zip(_STEP_FIELDS, step, strict=True) if value != default}


def _step(fields: dict[str, Any]) -> StepState:
    if "status" in fields:
        fields["status"] = StepStatus(fields["status"])
    return StepState(**fields)


def _parked(fields: dict[str, str]) -> Parked:
    return Parked(ParkReason(fields["reason"]), SagaState(fields["from_state"]), fields["detail"])
