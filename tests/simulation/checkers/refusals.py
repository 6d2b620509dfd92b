"""R56: who has moved past a command has answered it; a topic that takes nothing holds back its own messages only."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.messaging.outlet import RETRY_MS_MAX
from tests.simulation.chance import Swarm
from tests.simulation.checkers.commands import PHASES
from tests.simulation.checkers.evidence import SERVICES, Evidence
from tests.simulation.virtual_time import START_MS

PROMPT_MS = 5_000
"""A command that nothing holds back is stored within a few round trips of a slow network (500 ms each)."""


def check(evidence: Evidence) -> Iterator[str]:
    swarm = evidence.swarm
    # Elsewhere a position moves past commands that were not read, or that another database answered.
    if not (swarm.retentions or swarm.recreations or swarm.restore or swarm.rival_after_ms is not None):
        for service in SERVICES:
            yield from _answered(evidence, service)
    if swarm.refusals and _undisturbed(swarm):
        yield from _held_back(evidence)


def _answered(evidence: Evidence, service: str) -> Iterator[str]:
    """What was not acknowledged never counts as published: its offset waits for it (I15)."""
    rules = dict(dict(evidence.swarm.handler_faults).get(service, ()))
    if {"SAGA_FAULT_LOSE", "SAGA_FAULT_LATE"} & rules.keys():
        return
    broker, topic = evidence.world.broker, evidence.world.topics.replies_of(service)
    out = [*evidence.replies(service), *(message for message in broker.lost if message.topic == topic)]
    answered = {dict(reply.headers)["ce_causationid"] for reply in out}
    moved = dict(evidence.service(service, "SELECT partition, next FROM saga_offsets"))
    for record in evidence.commands(service):
        command_id = dict(record.headers)["ce_id"]
        if record.offset < moved.get(record.partition, 0) and command_id not in answered:
            yield f"R56: {service} has moved past {command_id.decode()}, and no answer to it was ever stored"


def _undisturbed(swarm: Swarm) -> bool:
    """Whether nothing but refusals makes messages wait."""
    disturbing = (
        *(swarm.crash, swarm.stops, swarm.commit_unknown, swarm.store_busy, swarm.clock_jumps, swarm.restore),
        *(swarm.lose_ack, swarm.lose_message, swarm.outages, swarm.leaderless, swarm.acts, swarm.unpark),
    )
    return not any(disturbing) and swarm.replicas == 1 and swarm.rival_after_ms is None


def _held_back(evidence: Evidence) -> Iterator[str]:
    """Commands to a topic that took all it was given came there soon after they were decided."""
    for saga_id, log in evidence.logs.items():
        for entry in log:
            phase = PHASES.get(entry.status)
            copies = phase and evidence.copies.get((f"order/{saga_id}/{entry.step}/{phase.value}/1", entry.attempt))
            if not copies:
                continue
            late_ms = copies[0].appended_ms + START_MS - entry.at
            if late_ms > PROMPT_MS and not _refusing(evidence, copies[0].topic, entry.at - START_MS):
                yield f"R56: {saga_id} sent {entry.step} {late_ms} ms late, and its topic took all it was given"


def _refusing(evidence: Evidence, topic: str, at_ms: int) -> bool:
    """Whether `topic` took nothing in the time in which a message decided at `at_ms` should have come."""
    times = [(since_ms, until_ms) for name, since_ms, until_ms in evidence.world.broker.refusals if name == topic]
    return any(since_ms - PROMPT_MS <= at_ms <= until_ms + RETRY_MS_MAX for since_ms, until_ms in times)
