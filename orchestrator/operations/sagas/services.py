"""How services answer, out of the logs of the newest sagas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.looking import logs_between, versions_between
from kafka_saga.orchestrator.store.reader import StoreReader

NEWEST = 300
"""Sagas whose logs are read."""
_SENT = frozenset({LogStatus.IN_PROGRESS, LogStatus.COMPENSATING})
_ANSWERED = frozenset({LogStatus.SUCCESS, LogStatus.FAILED, LogStatus.COMPENSATED, LogStatus.NOTHING_TO_UNDO})


@dataclass(slots=True)
class Answers:
    """What one service said to the commands of the newest sagas.

    Attributes:
        lengths_ms: from a command's first attempt to its answer.
        retried: how many commands took more than one attempt.

    """

    service: str
    lengths_ms: list[int] = field(default_factory=list)
    retried: int = 0

    def percentile_ms(self, share: int) -> int | None:
        """So many of a hundred answers came within this."""
        lengths = sorted(self.lengths_ms)
        return lengths[min(len(lengths) - 1, len(lengths) * share // 100)] if lengths else None


async def read_answers(reader: StoreReader, registry: Registry) -> list[Answers]:
    """How each service answered lately, by its name."""
    end = await reader.next_key()
    first = max(0, end - NEWEST)
    versions = await versions_between(reader, first, end)
    answers = {service: Answers(service) for service in registry.services}
    for key, log in (await logs_between(reader, first, end)).items():
        definition = registry.get(*versions[key]) if key in versions else None
        if definition is not None:
            _count(log, {step.name: step.service for step in definition.steps}, answers)
    return [answers[service] for service in sorted(answers)]


def _count(log: Iterable[LogEntry], services: dict[str, str], answers: dict[str, Answers]) -> None:
    sent_at: dict[str, int] = {}
    attempts: dict[str, int] = defaultdict(int)
    for entry in log:
        service = services.get(entry.step)
        if service is None:
            continue
        if entry.status is LogStatus.PARKED:  # how long a person took is no service's time
            sent_at.pop(entry.step, None)
            attempts.pop(entry.step, None)
        elif entry.status in _SENT:
            sent_at.setdefault(entry.step, entry.at)
            attempts[entry.step] += 1
        elif entry.status in _ANSWERED and entry.step in sent_at:
            answers[service].lengths_ms.append(entry.at - sent_at.pop(entry.step))
            answers[service].retried += attempts.pop(entry.step) > 1
