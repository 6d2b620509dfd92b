"""I1, I2, I21: every accepted order exists once and has ended in time; nobody is parked where no fault lasts."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.machine.backoff import attempts_max
from kafka_saga.orchestrator.machine.states import LogStatus, ParkReason, SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from tests.simulation.checkers.evidence import STEPS, Evidence

ENDS = {"COMPLETED", "COMPENSATED", "PARKED"}


def check(evidence: Evidence) -> Iterator[str]:
    yield from evidence.world.liveness
    for process in evidence.world.processes:
        yield from (f"I21: a process of {process.role} died of {failure!r}" for failure in process.failures)
    states = evidence.states
    for order in evidence.world.orders:
        if order not in states:
            yield f"I2: {order} was published and is unknown"
        elif states[order] not in ENDS:
            yield f"I1: {order} is {states[order]}"
    for saga_id, saga in evidence.sagas.items():
        if saga.state is SagaState.PARKED:
            yield from _parked(evidence, saga_id)


def _parked(evidence: Evidence, saga_id: str) -> Iterator[str]:
    """Compensations are all that may be given up here, and only after every attempt of theirs, or unsent (R18)."""
    saga = evidence.sagas[saga_id]
    assert saga.parked is not None
    if evidence.swarm.unpark:
        yield f"I1: {saga_id} is parked for {saga.parked.reason}, although an operator retried it"
    if saga.parked.reason is not ParkReason.COMPENSATION_FAILED:
        yield f"I1: {saga_id} is parked for {saga.parked.reason}: {saga.parked.detail}"
        return
    log = evidence.logs[saga_id]
    last = next((entry for entry in reversed(log) if entry.status is LogStatus.COMPENSATING), None)
    tries = (
        0 if last is None else attempts_max(order_saga.steps[STEPS[last.step]].compensation_retry, forward_only=False)
    )
    parked = next(entry for entry in reversed(log) if entry.status is LogStatus.PARKED)
    unsendable = parked.detail.get("event") == "NotSent"  # no attempt could have mended it (R56)
    if last is None or (last.attempt < tries and not unsendable):
        yield f"R18: {saga_id} is parked, and its compensation was not tried as often as it may be: {log[-1].detail}"
