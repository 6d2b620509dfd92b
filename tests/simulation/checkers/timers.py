"""I17, R21: no timer fires early or twice, nor while the reply it waits for lies in the topic."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.engine.outages import SLOW_MS
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.schemas.ids import Phase
from tests.simulation.checkers.evidence import STEPS, Evidence
from tests.simulation.virtual_time import START_MS

SENT = {LogStatus.IN_PROGRESS: Phase.FORWARD, LogStatus.COMPENSATING: Phase.COMPENSATE}
FAILED = (LogStatus.TIMEOUT, LogStatus.RETRY)


def check(evidence: Evidence) -> Iterator[str]:
    for saga_id, log in evidence.logs.items():
        sent: LogEntry | None = None
        failed: LogEntry | None = None
        before: LogEntry | None = None
        for entry in log:
            if entry.status in SENT and "note" not in entry.detail and entry.detail.get("event") != "ReplyUnreadable":
                by_act = before is not None and before.status is LogStatus.ACT
                again = failed is not None and failed.step == entry.step and not by_act
                if again and failed is not None and entry.at < failed.detail.get("retry_at", 0):
                    yield f"I17: {saga_id} sent {entry.step} again before its backoff had ended"
                sent, failed = entry, None
            elif entry.status in FAILED:
                if sent is None or failed is not None:
                    yield f"I17: an attempt of {saga_id} ended twice: {failed} and {entry}"
                elif entry.status is LogStatus.TIMEOUT:
                    yield from _timeout(evidence, saga_id, sent, entry)
                failed = entry
            before = entry


def _timeout(evidence: Evidence, saga_id: str, sent: LogEntry, timeout: LogEntry) -> Iterator[str]:
    phase = SENT[sent.status]
    step = order_saga.steps[STEPS[sent.step]]
    deadline = sent.at + step.policy(phase).timeout_ms
    if timeout.at < deadline:
        yield f"I17: {saga_id} gave up {sent.step} {deadline - timeout.at} ms early"
    swarm = evidence.swarm
    if swarm.clock_jumps or swarm.loses_records or saga_id in evidence.acted_on:
        return  # the two clocks cannot be compared, or the reply may have been nowhere to be read
    if swarm.replicas == 1 or swarm.shared:
        yield from _published(evidence, saga_id, sent, timeout)
    topic = evidence.world.topics.replies_of(step.service)
    for reply in evidence.answers.get((topic, f"order/{saga_id}/{sent.step}/{phase.value}/1"), ()):
        early_ms = deadline - START_MS - reply.appended_ms
        if early_ms > 0 and reply.appended_ms >= evidence.world.restored_at_ms:  # those of an old life do not count
            yield f"R21: {saga_id} gave up {sent.step}, whose reply had come {early_ms} ms before the deadline"
            return


def _published(evidence: Evidence, saga_id: str, sent: LogEntry, timeout: LogEntry) -> Iterator[str]:
    """R21: the wait begins once the command is published; a second or two of that may be part of it."""
    phase, step = SENT[sent.status], order_saga.steps[STEPS[sent.step]]
    copies = evidence.copies.get((f"order/{saga_id}/{sent.step}/{phase.value}/1", sent.attempt), ())
    waited_ms = timeout.at - START_MS - min((copy.appended_ms for copy in copies), default=timeout.at - START_MS)
    if waited_ms < step.policy(phase).timeout_ms - SLOW_MS:
        yield f"R21: {saga_id} gave up {sent.step} {waited_ms} ms after its command was published"
