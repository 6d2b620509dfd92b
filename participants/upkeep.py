"""What keeps a participant's database from growing for ever: old fence rows go, and the write-ahead log is kept short.

A participant that is never idle must forget too, so some rows a second are looked at between its batches; while
nothing comes there is time for more. Each step is one small transaction.
"""

from __future__ import annotations

from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.telemetry import log

_log = log("upkeep")

PRUNE_INTERVAL_MS = 3_600_000
PRUNE_MARGIN_MS = 24 * 3_600_000
"""Rows outlive the retention by a day: a saga's age is told by the orchestrator's clock, a row's by ours (R16)."""

IDLE_ROWS_MAX = 1_000
BUSY_ROWS_MAX = 100
BUSY_INTERVAL_MS = 200
"""Half a thousand rows a second, two or three milliseconds at a time: more than most services add, day and night."""

TIDY_INTERVAL_MS = 60_000
"""Where a reader holds the log it is tried again after this long."""


class Upkeep:
    """Forgets, a little at a time. Call `step` outside a transaction."""

    def __init__(self, store: ParticipantStore, clock: Clock, retention_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._retention_ms = retention_ms
        self._from_row = 0
        self._pruned = 0
        self._pruned_at_ms: int | None = None
        """When the last walk over the old rows ended; None before the first."""
        self._stepped_at_ms = self._tidied_at_ms = clock.monotonic_ms() - TIDY_INTERVAL_MS
        self._untidy = True

    async def step(self, now_ms: int, *, idle: bool) -> bool:
        """Do a little, if it is time, and say whether it was; `now_ms` is the store's clock."""
        at_ms = self._clock.monotonic_ms()
        if not idle:
            self._untidy = True
            if at_ms - self._stepped_at_ms < BUSY_INTERVAL_MS:
                return False
        if self._pruned_at_ms is None or at_ms - self._pruned_at_ms >= PRUNE_INTERVAL_MS:
            self._stepped_at_ms = at_ms
            await self._prune(now_ms, at_ms, IDLE_ROWS_MAX if idle else BUSY_ROWS_MAX)
        elif idle and self._untidy and at_ms - self._tidied_at_ms >= TIDY_INTERVAL_MS:
            self._tidied_at_ms = at_ms
            self._untidy = not await self._store.tidy()
        else:
            return False
        return True

    async def _prune(self, now_ms: int, at_ms: int, rows_max: int) -> None:
        before_ms = now_ms - self._retention_ms - PRUNE_MARGIN_MS
        async with self._store.transaction():
            step = await self._store.prune(before_ms, self._from_row, rows_max)
        self._pruned += step.rows
        self._untidy = True
        if step.next_row is not None:
            self._from_row = step.next_row
            return
        if self._pruned:
            _log.info("fence.pruned", rows=self._pruned)
        self._from_row, self._pruned, self._pruned_at_ms = 0, 0, at_ms
