"""What a screen that watches sagas shows, and how it asks without getting in the way of the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.sagas.listing import summary
from kafka_saga.orchestrator.operations.sagas.rate import Rate
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock, rfc3339

SAMPLE = 1_000
"""Durations are those of so many sagas that finished last."""

RECOUNT_SHARE = 20
"""Counting finished sagas by state reads all of them: it may take one part in so many of the time."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The sagas of a store at one moment."""

    at: int
    counts: dict[SagaState, int]
    finished: int
    rate: float | None
    """Sagas that finished per second; None until there are two moments to compare."""
    p50_ms: int | None
    p99_ms: int | None
    newest: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "at": rfc3339(self.at),
            "counts": {state.value: self.counts.get(state, 0) for state in SagaState},
            "finished": self.finished,
            "finishedPerSecond": self.rate,
            "p50Ms": self.p50_ms,
            "p99Ms": self.p99_ms,
            "newest": self.newest,
        }


@dataclass(slots=True)
class Watch:
    """Takes snapshots of a store, one after the other."""

    reader: StoreReader
    clock: Clock
    saga_type: str | None = None
    rows: int = 10
    _rate: Rate = field(default_factory=Rate)
    _ended: dict[SagaState, int] = field(default_factory=dict)
    _recount_at: int = 0

    async def look(self) -> Snapshot:
        """One snapshot: a few short reads."""
        now, ticks = self.clock.now_ms(), self.clock.monotonic_ms()
        unfinished = await self.reader.count_unfinished()
        finished = await self.reader.count_all() - sum(unfinished.values())
        ended = await self._count_ended(ticks, finished)
        took = sorted(await self.reader.durations(SAMPLE))
        newest = await self.reader.newest(Filter(saga_type=self.saga_type, limit=self.rows))
        return Snapshot(
            at=now,
            counts={**unfinished, **ended},
            finished=finished,
            rate=self._rate.at(ticks, finished),
            p50_ms=took[len(took) // 2] if took else None,
            p99_ms=took[min(len(took) - 1, len(took) * 99 // 100)] if took else None,
            newest=[summary(saga, now) for saga in newest],
        )

    async def _count_ended(self, ticks: int, finished: int) -> dict[SagaState, int]:
        """Finished sagas by state; between two counts new ones are taken for completed, which nearly all are."""
        if ticks >= self._recount_at:
            counts = await self.reader.count_by_state()
            self._ended = {state: counts.get(state, 0) for state in TERMINAL}
            cost = self.clock.monotonic_ms() - ticks
            self._recount_at = ticks + cost * RECOUNT_SHARE
            return self._ended
        compensated = min(self._ended[SagaState.COMPENSATED], finished)
        return {SagaState.COMPENSATED: compensated, SagaState.COMPLETED: finished - compensated}
