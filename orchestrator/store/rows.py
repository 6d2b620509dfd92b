"""Sagas, log entries and outbox messages as columns, and back."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from operator import is_not
from typing import Any

import ormsgpack

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold, Parked, Saga, StepState, current_step
from kafka_saga.orchestrator.machine.states import LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.orchestrator.store.port import Loss
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.ids import SagaRef

HASH_COLUMN = 11
"""Where the statements that read sagas have the request's hash."""

_TRACE_COLUMN = 16
"""The last; who lists sagas may leave it out."""

_DEFAULT = StepState()
_NOT_HELD = (None, None)


def steps_text(saga: Saga) -> str:
    """Every step's state; fields at their defaults are left out."""
    return encode([_fields(step) for step in saga.steps]).decode()


def parked_text(saga: Saga) -> str | None:
    if saga.parked is None:
        return None
    parked = saga.parked
    return encode({"reason": parked.reason, "from_state": parked.from_state, "detail": parked.detail}).decode()


def hold_columns(saga: Saga) -> tuple[str | None, str | None]:
    """What holds the saga, for the index, and who and why, for people."""
    held = saga.held
    if held is None:
        return _NOT_HELD
    return held.scope, encode({"actor": held.actor, "reason": held.reason, "at": held.at}).decode()


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
        *hold_columns(saga),
        saga.trace,
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
        *hold_columns(saga),
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
        held=None if row[14] is None else Hold(row[14], **decode_trusted(row[15])),
        trace=row[_TRACE_COLUMN] if len(row) > _TRACE_COLUMN else None,
    )


def pause_row(pause: Pause) -> tuple[Any, ...]:
    """The columns of a pause."""
    return (*pause.hold, int(pause.under_way))


def read_pauses(found: list[tuple[Any, ...]]) -> dict[str, Pause]:
    """What is paused, by scope."""
    return {scope: Pause(Hold(scope, *rest), bool(under_way)) for scope, *rest, under_way in found}


def log_row(key: int, entry: LogEntry) -> tuple[Any, ...]:
    detail = encode(entry.detail).decode() if entry.detail else "{}"
    return (key, entry.seq, entry.step, entry.status.value, entry.attempt, entry.at, detail)


def read_log(row: tuple[Any, ...]) -> LogEntry:
    """A log entry from `seq, step, status, attempt, at, detail`."""
    seq, step, status, attempt, at, detail = row
    return LogEntry(seq, step, LogStatus(status), attempt, at, decode_trusted(detail))


def loss_rows(resets: Iterable[Reset], now: int) -> list[tuple[str, str]]:
    """Positions that were given up, as rows of `meta`: there are few, and one for each partition is enough."""
    return [
        (
            f"{_LOSS}{reset.partition.topic}/{reset.partition.partition}",
            encode({"at": now, **_loss_fields(reset)}).decode(),
        )
        for reset in resets
    ]


def read_losses(found: Iterable[tuple[str, str]]) -> list[Loss]:
    """The same, back."""
    losses = []
    for key, text in found:
        topic, _, number = key.removeprefix(_LOSS).rpartition("/")
        fields = decode_trusted(text)
        at = fields.pop("at")
        losses.append(Loss(at, Reset(TopicPartition(topic, int(number)), **fields)))
    return losses


_LOSS = "lost/"


def _loss_fields(reset: Reset) -> dict[str, Any]:
    return {"wanted": reset.wanted, "position": reset.position, "reason": reset.reason}


def messages_content(messages: list[Message]) -> bytes:
    """An outbox row's content: MessagePack, since JSON would have to turn thousands of byte strings into text."""
    return ormsgpack.packb([tuple(message) for message in messages])


def read_messages(content: bytes) -> list[Message]:
    return [
        Message(topic, key, value, tuple((name, item) for name, item in headers))
        for topic, key, value, headers in ormsgpack.unpackb(content)
    ]


def _fields(step: StepState) -> dict[str, Any]:
    if step == _DEFAULT:
        return {}
    return dict(compress(zip(StepState._fields, step, strict=True), map(is_not, step, _DEFAULT)))


def _step(fields: dict[str, Any]) -> StepState:
    if "status" in fields:
        fields["status"] = StepStatus(fields["status"])
    return StepState(**fields)


def _parked(fields: dict[str, str]) -> Parked:
    return Parked(ParkReason(fields["reason"]), SagaState(fields["from_state"]), fields["detail"])
