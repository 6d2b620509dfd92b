"""How a store's sagas go, for a screen that stays open: what is counted once is not counted again.

Finished sagas may be millions. They are counted by state seldom (`RECOUNT_SHARE`), and by minute in windows of keys:
the newest window again and again, older ones once, a window at each look, until an hour is covered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.sagas.rate import LONE_RATE_MS, Rate
from kafka_saga.orchestrator.operations.sagas.trend import Curve, Moment, Trend
from kafka_saga.orchestrator.operations.sagas.watching import RECOUNT_SHARE, SAMPLE
from kafka_saga.orchestrator.store.looking import ended_by_minute
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.telemetry import log

_log = log("dashboard")

PULSE_WINDOW_ROWS = 10_000
"""Sagas of which a screen counts at once in which minute they ended: some milliseconds."""

MINUTES = 60
_FLOW_MS = 5_000
"""The newest window is counted again after this."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What ended in one minute; None where it is not counted yet."""

    minute: int
    completed: int | None
    undone: int | None


@dataclass(frozen=True, slots=True)
class Beat:
    """One look.

    Attributes:
        counts: sagas by state; without ended ones until they were counted once.
        total: all sagas there are; None until they were counted once.
        rate: sagas that ended per second; None until there are two moments to compare.
        start_rate: the same of those that were started.
        p50_ms, p99_ms: how long the newest finished ones took.
        flow: what ended in each minute of the last hour, oldest first.
        started, ended: both rates in the last quarter of an hour.

    """

    counts: dict[SagaState, int]
    total: int | None
    rate: float | None
    start_rate: float | None
    p50_ms: int | None
    p99_ms: int | None
    flow: list[Flow]
    started: Curve
    ended: Curve

    @property
    def unfinished(self) -> int:
        """How many sagas have not ended."""
        return sum(count for state, count in self.counts.items() if state not in TERMINAL)


@dataclass(frozen=True, slots=True)
class _Count:
    """Every saga by its state, and the next key when they were counted."""

    states: dict[SagaState, int]
    key: int


@dataclass(slots=True)
class Pulse:
    """Looks at one store again and again.

    Args:
        clock: time.
        open_reader: a reader for the long count, which nobody waits for.

    """

    clock: Clock
    open_reader: Callable[[], AbstractAsyncContextManager[StoreReader]]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _count: _Count | None = None
    _counting: asyncio.Task[None] | None = None
    _recount_at: int = 0
    _rate: Rate = field(default_factory=Rate)
    _start_rate: Rate = field(default_factory=Rate)
    _trend: Trend = field(default_factory=Trend)
    _flow_at: int | None = None
    _settled: Counter[tuple[int, str]] = field(default_factory=Counter)
    """What ended by minute, of the sagas with keys from `_from` to before `_live`."""
    _newest: Counter[tuple[int, str]] = field(default_factory=Counter)
    """The same of those from `_live` on, as it was last counted."""
    _from: int = 0
    _live: int | None = None

    async def beat(self, reader: StoreReader, *, flow: bool = True) -> Beat:
        """One look: a few short reads; without `flow` fewer."""
        async with self._turn:
            ticks = self.clock.monotonic_ms()
            if ticks >= self._recount_at and (self._counting is None or self._counting.done()):
                self._counting = asyncio.create_task(self._recount(), name="count all sagas")
            unfinished = await reader.count_unfinished()
            key = await reader.next_key()
            took = sorted(await reader.durations(SAMPLE)) if flow else []
            if flow and (self._flow_at is None or ticks - self._flow_at >= _FLOW_MS):
                self._flow_at = ticks
                await self._count_minutes(reader, key)
            counts = {state: unfinished.get(state, 0) for state in SagaState if state not in TERMINAL}
            finished = key - sum(unfinished.values())
            self._trend.note(Moment(ticks, key, finished))
            ended = self._ended(key, sum(unfinished.values()))
            return Beat(
                counts=counts | ended,
                total=sum(counts.values()) + sum(ended.values()) if ended else None,
                rate=self._rate.at(ticks, finished),
                start_rate=self._start_rate.at(ticks, key),
                p50_ms=took[len(took) // 2] if took else None,
                p99_ms=took[min(len(took) - 1, len(took) * 99 // 100)] if took else None,
                flow=self._flow(self.clock.now_ms() // 60_000) if flow else [],
                started=self._trend.started,
                ended=self._trend.ended,
            )

    async def note(self, reader: StoreReader) -> None:
        """A moment for the curves, whether or not somebody looks."""
        ticks, unfinished = self.clock.monotonic_ms(), await reader.count_unfinished()
        key = await reader.next_key()
        self._trend.note(Moment(ticks, key, key - sum(unfinished.values())))

    async def counted(self) -> None:
        """Wait until the count of all sagas that goes on has ended."""
        if self._counting is not None:
            await asyncio.wait({self._counting})

    async def _recount(self) -> None:
        began = self.clock.monotonic_ms()
        try:
            async with self.open_reader() as reader:
                key = await reader.next_key()
                states = await reader.count_by_state()
                self._count = _Count(states, key)
        except SagaError as error:
            _log.warning("count.failed", error=str(error))
        now = self.clock.monotonic_ms()
        self._recount_at = now + max(LONE_RATE_MS, (now - began) * RECOUNT_SHARE)

    def _ended(self, key: int, unfinished: int) -> dict[SagaState, int]:
        """Finished sagas by state; those since the last count are taken for completed, which nearly all are."""
        if self._count is None:
            return {}
        finished = max(0, sum(self._count.states.values()) + key - self._count.key - unfinished)
        compensated = min(self._count.states.get(SagaState.COMPENSATED, 0), finished)
        return {SagaState.COMPLETED: finished - compensated, SagaState.COMPENSATED: compensated}

    async def _count_minutes(self, reader: StoreReader, end: int) -> None:
        if self._live is None:
            self._live = self._from = max(0, end - PULSE_WINDOW_ROWS)
        while end - self._live > 2 * PULSE_WINDOW_ROWS:
            self._settled += await _minutes(reader, self._live, self._live + PULSE_WINDOW_ROWS)
            self._live += PULSE_WINDOW_ROWS
        self._newest = await _minutes(reader, self._live, end)
        oldest = min((minute for minute, _ in self._settled + self._newest), default=0)
        if self._from > 0 and oldest > self.clock.now_ms() // 60_000 - MINUTES:
            first = max(0, self._from - PULSE_WINDOW_ROWS)
            self._settled += await _minutes(reader, first, self._from)
            self._from = first

    def _flow(self, now: int) -> list[Flow]:
        counted = self._settled + self._newest
        for minute, state in list(self._settled):
            if minute < now - MINUTES:
                del self._settled[minute, state]
        known_from = 0 if self._from == 0 else min((minute for minute, _ in counted), default=now)
        return [
            Flow(minute, counted[minute, "COMPLETED"], counted[minute, "COMPENSATED"])
            if minute >= known_from
            else Flow(minute, None, None)
            for minute in range(now - MINUTES + 1, now + 1)
        ]


async def _minutes(reader: StoreReader, first: int, end: int) -> Counter[tuple[int, str]]:
    found = await ended_by_minute(reader, first, end)
    return Counter({(minute, state): number for minute, state, number in found})
