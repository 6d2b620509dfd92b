"""I11, I12: the log folded from zero gives the row; every change is a legal edge, and nothing leaves an end state.

The changes are those that a trigger in the database wrote down. I22: with two orchestrators on one store they still
are one chain.
"""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.machine.folding import fold
from kafka_saga.orchestrator.machine.saga import accepted
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.schemas.ids import SagaRef
from tests.simulation.checkers.evidence import Evidence

LEGAL = {
    "PENDING": {"PENDING", "RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED", "PARKED"},
    "RUNNING": {"RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED", "PARKED"},
    "COMPENSATING": {"COMPENSATING", "COMPENSATED", "PARKED"},
    "PARKED": {"PARKED", "RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED"},
    "COMPLETED": set(),
    "COMPENSATED": set(),
}
"""Where one batch may take a saga; it may fold several events."""


def check(evidence: Evidence) -> Iterator[str]:
    yield from _folded(evidence)
    at: dict[str, int] = {}
    changes = evidence.store.execute("SELECT saga_id, was, now, was_version, now_version FROM temp.transitions")
    for saga_id, was, now, was_version, now_version in changes:
        if now not in LEGAL[was] and saga_id not in evidence.resolved:
            yield f"I12: {saga_id} went from {was} to {now}"
        if now_version <= was_version or at.setdefault(saga_id, was_version) != was_version:
            yield f"I12: {saga_id} went from version {was_version} to {now_version} when it was at {at[saga_id]}"
        at[saga_id] = now_version
    for saga_id, version in at.items():
        if evidence.sagas[saga_id].version != version:
            yield f"I12: {saga_id} is at version {evidence.sagas[saga_id].version}, its last change led to {version}"


def _folded(evidence: Evidence) -> Iterator[str]:
    for saga_id, saga in evidence.sagas.items():
        log = evidence.logs[saga_id]
        if [entry.seq for entry in log] != list(range(1, saga.log_seq + 1)):
            yield f"I12: the log of {saga_id} has gaps"
            continue
        start = accepted(order_saga, SagaRef("order", saga_id), saga.request, saga.request_bytes, saga.created_at)
        try:
            folded = fold(order_saga, start, log)
        except ValueError as error:
            yield f"I11: {error}"
            continue
        if folded != saga:
            yield f"I11: the log of {saga_id} does not give its row: {folded} is not {saga}"
