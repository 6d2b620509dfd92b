"""Acts and what came of them, as documents for programs: the same from the command line and over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka_saga.orchestrator.operations.acts.bulk import Bulk
from kafka_saga.orchestrator.operations.acts.choosing import Chosen
from kafka_saga.orchestrator.operations.acts.following import Result, Standing
from kafka_saga.orchestrator.operations.sagas.show import Shown
from kafka_saga.orchestrator.store.act_rows import ActRow, verb_word
from kafka_saga.orchestrator.store.port import NO_SAGA, QueuedAct
from kafka_saga.runtime.clock import rfc3339


def act_document(row: ActRow) -> dict[str, Any]:
    """An act as it is on record."""
    return {
        "actId": row.act_id,
        "sagaId": row.ref.saga_id,
        "sagaType": row.ref.saga_type,
        "verb": row.verb,
        "arguments": dict(row.arguments),
        "actor": row.actor,
        "reason": row.reason,
        "expectedState": row.expected_state,
        "expectedVersion": row.expected_version,
        "at": rfc3339(row.created_at),
        "outcome": row.outcome,
        "message": row.message,
        "decidedAt": None if row.decided_at is None else rfc3339(row.decided_at),
    }


def standing_document(queued: QueuedAct, standing: Standing, shown: Shown | None) -> dict[str, Any]:
    """What one act came to; with `shown`, how its saga stands."""
    on_saga = {"sagaId": queued.ref.saga_id, "sagaType": queued.ref.saga_type}
    document = {
        "actId": queued.act.act_id,
        **(on_saga if queued.ref != NO_SAGA else {"scope": queued.act.arguments.get("scope")}),
        "verb": verb_word(queued.act.verb.value),
        "result": standing.result.value,
        "message": standing.message,
    }
    if shown is not None:
        document |= {"state": shown.saga.state.value, "status": shown.status, "sentence": shown.sentence}
    return document


def chosen_document(chosen: Chosen) -> dict[str, Any]:
    """A saga on a frozen list."""
    ref = chosen.ref
    return {"sagaId": ref.saga_id, "sagaType": ref.saga_type, "state": chosen.state.value, "status": chosen.status}


def not_done(bulk: Bulk) -> list[dict[str, Any]]:
    """The sagas of a bulk act for which it has not had its effect, each with why."""
    return [
        {"sagaId": ref.saga_id, "sagaType": ref.saga_type, "result": standing.result, "message": standing.message}
        for ref, standing in bulk.standings.items()
        if standing.result not in (Result.SUCCEEDED, Result.UNCHANGED)
    ]


def bulk_document(bulk_id: str, bulk: Bulk, missing: Sequence[str], *, followed: bool = True) -> dict[str, Any]:
    """How far a bulk act is, and what it came to; `missing` ids had no saga."""
    counts = {result.value: bulk.counts[result] for result in Result}
    if not followed:
        counts["waiting"] = bulk.total
    summary = {"bulkId": bulk_id, "total": bulk.total, "sent": bulk.sent, "sentBefore": bulk.known, **counts}
    return {**summary, "missing": list(missing), "notDone": not_done(bulk)}
