"""I7, I8: the fence and the business rows agree, and what was confirmed as undone can never happen any more."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.schemas.ids import Phase
from tests.simulation.checkers.evidence import SERVICES, Evidence

EXPECTED = {
    "done": (1, 0),
    "failed": (0, 0),
    "cancelled": (0, 0),
    "compensated": (1, 1),
    "started": (0, 0),
    "undoing": (1, 0),
}
"""Effects and undoings by the fence's status."""

CONFIRMED = {LogStatus.COMPENSATED: {"compensated"}, LogStatus.NOTHING_TO_UNDO: {"cancelled"}}
"""What the fence must say of a step once the saga's log has it as undone."""


_FENCE = """SELECT saga_id, CASE WHEN call LIKE '%/compensate/%' THEN 'undoing' ELSE status END FROM saga_fence"""


def check(evidence: Evidence) -> Iterator[str]:
    for service, step in SERVICES.items():
        did, undid = evidence.effects(service)
        fence = dict(evidence.service(service, _FENCE))
        for saga_id in did.keys() - fence.keys():
            yield f"I8: {service} did something for {saga_id} and has no fence row for it"
        for saga_id, status in fence.items():
            found = (did[saga_id], undid[saga_id])
            if found != EXPECTED[status]:
                yield f"I8: the fence of {service} says {status} for {saga_id}, which was done and undone {found}"
        for saga_id, log in evidence.logs.items():
            if Phase.COMPENSATE in evidence.skipped.get((saga_id, step), ()):
                continue
            for entry in log:
                if entry.step == step and entry.status in CONFIRMED:
                    status = fence.get(saga_id, "nothing")
                    if status not in CONFIRMED[entry.status]:
                        yield f"I7: {saga_id} has {step} as {entry.status.value}, and its fence says {status}"
