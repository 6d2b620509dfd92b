"""What became of dead letters, or would, as a document for programs."""

from __future__ import annotations

from typing import Any

from kafka_saga.orchestrator.operations.dead_letters.redriving import Plan, Progress


def report(plan: Plan, progress: Progress | None) -> dict[str, Any]:
    """The plan, and how it was carried out; without `progress` it was not."""
    failed = [] if progress is None else progress.failed
    return {
        "dryRun": progress is None,
        plan.verdict: len(plan.letters) if progress is None else progress.handled,
        "refused": [{"position": letter["position"], "why": why} for letter, why in plan.refused],
        "failed": [{"position": position, "why": why} for position, why in failed],
        "matching": plan.total,
        "counts": plan.counts(),
    }
