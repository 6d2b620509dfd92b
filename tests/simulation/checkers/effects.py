"""I3, I4: each action takes effect at most once, is undone at most once, and stands as the saga's end says.

Counted in the services' business tables. I22 is in here too: in a fifth of the seeds two orchestrators work on one
store and all partitions, and the same must hold.
"""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.schemas.ids import Phase
from tests.simulation.checkers.evidence import SERVICES, Evidence


def check(evidence: Evidence) -> Iterator[str]:
    for service, step in SERVICES.items():
        did, undid = evidence.effects(service)
        for saga_id, state in evidence.states.items():
            if did[saga_id] > 1 or undid[saga_id] > did[saga_id]:
                yield f"I3: {service} did {saga_id} {did[saga_id]}x and undid it {undid[saga_id]}x"
            standing = did[saga_id] - undid[saga_id]
            by_hand = evidence.skipped.get((saga_id, step), set())
            if saga_id in evidence.resolved:
                continue
            if state == "COMPLETED" and standing != 1 and Phase.FORWARD not in by_hand:
                yield f"I4: {saga_id} completed, but {service} has {standing} of it"
            if state == "COMPENSATED" and standing != 0 and Phase.COMPENSATE not in by_hand:
                yield f"I4: {saga_id} is compensated, but {service} still has {standing} of it"
    yield from _outside(evidence)


def _outside(evidence: Evidence) -> Iterator[str]:
    """R17: the card processor was called with one key a phase, and the service knows of all that was done there.

    A refund that an operator asked for again, after the processor had said no, may have another key: ours never
    says no, so there is none.
    """
    if not evidence.swarm.external:
        return
    did, undid = evidence.effects("payment")
    processor = evidence.world.processor
    keys: dict[tuple[str, str], set[str]] = {}
    for key in processor.calls:
        _, saga_id, _, phase, *_ = key.split("/")
        keys.setdefault((saga_id, phase), set()).add(key)
    for (saga_id, phase), used in keys.items():
        if len(used) > 1:
            yield f"I3: the card processor was called with {sorted(used)} for {saga_id} ({phase})"
    for what, done, known in (("charged", processor.charged, did), ("refunded", processor.refunded, undid)):
        for key, amount in done.items():
            saga_id = key.split("/")[1]
            by_hand = saga_id in evidence.resolved or (saga_id, "process_payment") in evidence.skipped
            if known[saga_id] != 1 and not by_hand and evidence.states.get(saga_id) in ("COMPLETED", "COMPENSATED"):
                yield f"I9: {saga_id} was {what} outside, and the payment service knows of {known[saga_id]}"
            if not amount:
                yield f"I9: {saga_id} was {what} outside, and there was nothing to take or give"
