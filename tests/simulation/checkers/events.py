"""R26, I12: each version of a saga is told of once, byte for byte; its end is told, and nothing after it."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.store.lives import SEQUENCES_A_LIFE
from tests.simulation.checkers.evidence import Evidence

Told = tuple[bytes, bytes | None]


def check(evidence: Evidence) -> Iterator[str]:
    told: dict[str, dict[int, Told]] = {}
    for record in evidence.records(evidence.world.topics.events("order")):
        headers = dict(record.headers)
        saga_id = (record.key or b"").decode()
        event = (headers["ce_type"].removeprefix(b"order.saga."), record.value)
        new = int(headers["ce_sequence"])
        known = told.setdefault(saga_id, {})
        if new not in known and known and evidence.swarm.replicas == 1 and new < max(known):
            yield f"R59: {saga_id} is told of under {new}, after {max(known)}"
        if told.setdefault(saga_id, {}).setdefault(int(headers["ce_sequence"]), event) != event:
            yield f"R26: {saga_id} has two events of version {headers['ce_sequence'].decode()}"
    for saga_id, state in evidence.states.items():
        events = told.get(saga_id, {})
        life = max(events, default=0) // SEQUENCES_A_LIFE
        kinds = [kind for number, (kind, _) in sorted(events.items()) if number // SEQUENCES_A_LIFE == life]
        if not kinds or kinds[-1].decode() != state.lower():
            yield f"R26: {saga_id} is {state}, and its events are {kinds}"
        if any(kind in (b"completed", b"compensated") for kind in kinds[:-1]):
            yield f"I12: {saga_id} was told of after its end: {kinds}"
        undoing = kinds.index(b"compensating") if b"compensating" in kinds else len(kinds)
        if b"step_succeeded" in kinds[undoing:]:
            yield f"I12: {saga_id} went forward after it was compensating: {kinds}"
