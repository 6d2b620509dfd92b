"""I5, I6: what was executed is undone, by the services' own rows; last first, one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kafka_saga.orchestrator.machine.states import LogStatus
from tests.simulation.checkers.evidence import SERVICES, STEPS, Evidence


def check(evidence: Evidence) -> Iterator[str]:
    for saga_id, log in evidence.logs.items():
        undone = [
            STEPS[entry.step] for entry in log if entry.status in (LogStatus.COMPENSATED, LogStatus.NOTHING_TO_UNDO)
        ]
        if undone != sorted(undone, reverse=True) or len(undone) != len(set(undone)):
            yield f"I6: {saga_id} undid its steps in the order {undone}"
        succeeded = {STEPS[entry.step] for entry in log if entry.status is LogStatus.SUCCESS}
        compensated = evidence.states[saga_id] == "COMPENSATED" and saga_id not in evidence.resolved
        if compensated and not succeeded <= set(undone):
            yield f"I5: {saga_id} succeeded in {succeeded} and undid {undone}"
    yield from _lists(evidence)


def _lists(evidence: Evidence) -> Iterator[str]:
    """The lists that the world is told are what the services did and undid (R9)."""
    did = {service: evidence.effects(service)[0] for service in SERVICES}
    for record in evidence.records(evidence.world.topics.events("order")):
        body = json.loads(record.value or b"{}")
        saga_id = body["sagaId"]
        if body["state"] != "COMPENSATED" or saga_id in evidence.resolved:
            continue
        if record.appended_ms < evidence.world.restored_at_ms and not _lasts(evidence, saga_id):
            continue
        if any((saga_id, step) in evidence.skipped for step in STEPS):
            continue  # what a person did by hand, the service has nothing of to undo
        executed, undone = body["stepsExecuted"], body["stepsCompensated"]
        if undone != sorted(executed, reverse=True):
            yield f"I5: {saga_id} says that it executed {executed} and compensated {undone}"
        really = [place for place, service in enumerate(SERVICES, 1) if did[service][saga_id]]
        if executed != really:
            yield f"I5: {saga_id} says that it executed {executed}, and the services did {really}"


def _lasts(evidence: Evidence, saga_id: str) -> bool:
    """Whether what an earlier life told of a saga must be true of the next one, too.

    It need not be where the services' databases are no more what they were then, or where the next life can know
    nothing of what decided it: an operator's act, or a topic that took nothing.
    """
    unsendable = any(command_id.split("/")[1] == saga_id for command_id, _ in evidence.refused)
    return evidence.swarm.restore == "orchestrator" and not evidence.swarm.acts and not unsendable
