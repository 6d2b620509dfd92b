"""R26, I12: each version of a saga is told of once, byte for byte; its end is told, and nothing after it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.checkers.evidence import Evidence

Told = tuple[bytes, bytes | None]


def check(evidence: Evidence) -> Iterator[str]:
    told: dict[str, dict[int, Told]] = {}
    for record in evidence.records(evidence.world.topics.events("order")):
        headers = dict(record.headers)
        saga_id = (record.key or b"").decode()
        event = (headers["ce_type"].removeprefix(b"order.saga."), record.value)
        if told.setdefault(saga_id, {}).setdefault(int(headers["ce_sequence"]), event) != event:
            yield f"R26: {saga_id} has two events of version {headers['ce_sequence'].decode()}"
    for saga_id, state in evidence.states.items():
        kinds = [kind for _, (kind, _) in sorted(told.get(saga_id, {}).items())]
        if not kinds or kinds[-1].decode() != state.lower():
            yield f"R26: {saga_id} is {state}, and its events are {kinds}"
        if any(kind in (b"completed", b"compensated") for kind in kinds[:-1]):
            yield f"I12: {saga_id} was told of after its end: {kinds}"
        undoing = kinds.index(b"compensating") if b"compensating" in kinds else len(kinds)
        if b"step_succeeded" in kinds[undoing:]:
            yield f"I12: {saga_id} went forward after it was compensating: {kinds}"
