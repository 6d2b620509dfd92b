"""I23, R25: every act has one outcome; what was done stands in the log once, with its actor, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kafka_saga.orchestrator.machine.states import LogStatus
from tests.simulation.checkers.evidence import Evidence


def check(evidence: Evidence) -> Iterator[str]:
    logged: Counter[str] = Counter()
    for saga_id, log in evidence.logs.items():
        for entry in log:
            if entry.status is LogStatus.ACT and entry.detail.get("event") == "Act":
                logged[entry.detail["act_id"]] += 1
                if entry.detail["actor"] != "operator":
                    yield f"I23: an act on {saga_id} does not say who did it: {entry.detail}"
    for act in evidence.acts:
        if act.outcome not in ("done", "unchanged", "refused"):
            yield f"I23: {act.act_id} ({act.verb} of {act.saga_id}) has the outcome {act.outcome}"
        times = 1 if act.outcome == "done" and "scope" not in act.arguments else 0
        if logged.pop(act.act_id, 0) != times:
            yield f"I23: {act.act_id} ({act.verb} of {act.saga_id}) is {act.outcome}, and not {times} times in the log"
    for act_id in logged:
        yield f"I23: the log has {act_id}, which nobody did"
