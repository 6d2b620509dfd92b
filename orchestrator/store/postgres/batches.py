"""A batch as the arguments of the function that commits it: one array a column, sorted as everybody sorts (R65)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.act_rows import noted_row
from kafka_saga.orchestrator.store.members import hash_of
from kafka_saga.orchestrator.store.port import Batch, NotedAct, OutboxId
from kafka_saga.runtime.errors import ConflictError

_TEXTS = ("act_id", "saga_type", "saga_id", "verb", "arguments", "actor", "reason", "message")
_NOTED = dict.fromkeys(_TEXTS, "text") | dict.fromkeys(("created_at", "decided_at", "hash"), "bigint")
"""The columns of noted acts, and their types."""

_ERROR_OF_A_CHANGE = 4
_ERROR_OF_A_START = 9


def commit_statements(schema: str) -> dict[int, str]:
    """The call, by the number of arguments; with the columns of noted acts behind its own they are written with it."""
    found: dict[int, str] = {}
    for number, name in {ARGUMENTS: "saga_commit_1", ARGUMENTS + 1: "saga_commit_2"}.items():
        given = ", ".join(f"${place}" for place in range(1, number + 1))
        noted = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_NOTED.values(), number + 1))
        call = f"SELECT * FROM {schema}.{name}({given})"  # noqa: S608
        note = f"INSERT INTO {schema}.acts ({', '.join(_NOTED)}, outcome) SELECT *, 'done' FROM unnest({noted})"  # noqa: S608
        found[number] = call
        found[number + len(_NOTED)] = f"WITH noted AS ({note} ON CONFLICT DO NOTHING) {call}"
    return found


def arguments(
    batch: Batch,
    *,
    replica: int,
    number: int,
    settings: int,
    window: int,
    unsent: int,
    verified: Mapping[int, int],
) -> list[Any]:
    """Everything that the statement is given: the function's, one more where a new saga has a trace, and noted acts.

    Args:
        batch: what it writes.
        replica: whose life it is.
        number: which of this life's batches it is.
        settings: the number of the settings that it was decided by.
        window: how many sagas this replica would let run at once.
        unsent: how many messages it will not have published after this batch.
        verified: keys and versions of sagas that rows in memory said nothing happens to (R66).

    """
    outage = batch.outage
    changed = sorted(batch.changed, key=lambda change: change.saga.row)
    started = sorted(batch.started, key=lambda new: new.saga.ref)
    keys = {change.saga.ref: change.saga.row for change in changed}
    keys |= {new.saga.ref: -place for place, new in enumerate(started, 1)}
    set_pauses = [pause for pause in batch.pauses.values() if pause is not None]
    lifted = [scope for scope, pause in batch.pauses.items() if pause is None]
    new = _columns([rows.insert_row(0, one.saga, one.request_hash) for one in started], 19, _ERROR_OF_A_START)
    change = _columns([rows.update_row(one.saga, one.version_read) for one in changed], 13, _ERROR_OF_A_CHANGE)
    return [
        *(replica, number, batch.now, window),
        *((None, None) if outage is None else (outage.ended_at, outage.is_on)),
        *(batch.in_flight, batch.pending, unsent),
        *(settings, bool(batch.pauses) or batch.lanes is not None, batch.lanes),
        *_columns(_offsets(batch), 5),
        *_columns([(topic, one.partitions, one.at, False) for topic, one in sorted(batch.counted.items())], 4),
        *(change[11], change[12], *change[:11]),
        *_columns(sorted(verified.items()), 2),
        *(new[1], new[2], _hashes(new[2]), *new[3:18]),
        *_columns([rows.log_row(keys[ref], entry) for ref, entry in batch.log], 7),
        *((len(batch.messages), rows.messages_content(batch.messages)) if batch.messages else (None, None)),
        *_columns(sorted(batch.published), 2),
        *_columns(_rewritten(batch.rewritten), 4),
        *_columns([(act.act_id, act.outcome, sendable(act.message)) for act in batch.acts], 3),
        *_columns([_pause(rows.pause_row(pause)) for pause in set_pauses], 5),
        lifted or None,
        *_columns(rows.loss_rows(_newest(batch), batch.now), 2),
        *([new[18]] if new[18] is not None and any(new[18]) else []),
        *(_columns([_noted(act, batch.now) for act in batch.noted], len(_NOTED)) if batch.noted else []),
    ]


ARGUMENTS = 12 + 9 + 15 + 18 + 7 + 8 + 11


def sendable(text: str) -> str:
    """Text as PostgreSQL takes it: it knows neither U+0000 nor half of a character."""
    return text.replace("\0", "").encode(errors="ignore").decode()


def _columns(found: Sequence[Sequence[Any]], width: int, error: int | None = None) -> list[Sequence[Any] | None]:
    """Rows as columns, None for each where there is no row; what stands in the column `error` is anybody's words."""
    if not found:
        return [None] * width
    columns: list[Sequence[Any] | None] = list(zip(*found, strict=True))
    if error is not None:
        columns[error] = [None if text is None else sendable(text) for text in columns[error] or ()]
    return columns


def _hashes(ids: Iterable[str] | None) -> list[int] | None:
    return None if ids is None else [hash_of(saga_id) for saga_id in ids]


def _offsets(batch: Batch) -> list[tuple[str, int, int | None, int | None, int]]:
    """Where each partition was, where it is, and when it was read to its end (R69)."""
    found: dict[TopicPartition, tuple[int | None, int | None, int]] = {
        tp: (step.read_from, step.next, 0) for tp, step in batch.offsets.items()
    }
    for tp, drained in batch.drained.items():
        before, after, _ = found.get(tp, (drained.next, drained.next, 0))
        if after != drained.next:
            raise ConflictError("more was read of a partition than it was drained to", what="offsets")
        found[tp] = (before, after, drained.at)
    return [(*tp, *found[tp]) for tp in sorted(found)]


def _rewritten(rewritten: Mapping[OutboxId, Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [(*row, len(left), rows.messages_content(list(left))) for row, left in sorted(rewritten.items())]


def _pause(row: tuple[Any, ...]) -> tuple[Any, ...]:
    scope, actor, reason, at, under_way = row
    return scope, sendable(actor), sendable(reason), at, bool(under_way)


def _noted(act: NotedAct, now: int) -> tuple[Any, ...]:
    act_id, saga_type, saga_id, word, arguments, actor, reason, _state, _version, _now, message = noted_row(act, now)
    texts = map(sendable, (act_id, saga_type, saga_id, word, arguments, actor, reason, message))
    return (*texts, now, now, hash_of(saga_id))


def _newest(batch: Batch) -> list[Any]:
    """One position given up for each partition: a statement cannot write one row twice."""
    return list({reset.partition: reset for reset in batch.resets}.values())
