"""What keeps a store from growing for ever: finished sagas are purged, and its write-ahead log is kept short.

All of it can wait, so it is done in small transactions between batches: one after the other while nothing has come for
a while; else smaller ones, each followed by a rest of twenty times its length. A lone saga has some eight hops, each of
which may have to wait for a step (measured on a busy machine: its time tripled while steps followed each other).
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from kafka_saga.orchestrator.store.port import Store
from kafka_saga.orchestrator.store.retention import Purge, QueuedPurge
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.limits import PURGE_ROWS_BUSY_MAX, PURGE_ROWS_MAX, WAL_BYTES_MAX
from kafka_saga.runtime.telemetry import log

_log = log("upkeep")

REST = 20
"""Under load nothing is done for so many times as long as a step took: a twentieth of the time on any disk."""

REST_MS_MIN = 100
"""Steps take a few milliseconds, and the clock counts whole ones."""

LOOK_INTERVAL_MS = 1_000
"""How soon an operator's purge is noticed, and a write-ahead log that grows."""

SWEEP_INTERVAL_MS = 3_600_000
"""What has become too old since an hour ago is seldom much."""

QUIET_MS = 2_000
"""After this long without a batch there is time, also to cut the log off, which takes as long as dozens of commits."""

TIDY_INTERVAL_MS = 60_000
"""Between two times: where a reader holds the log, it is tried again."""


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long what has ended is kept; None: for ever."""

    sagas_ms: int | None = None
    identities_ms: int | None = None
    """Type, id, request hash and end state of purged sagas: not below the request topics' own retention (R29)."""


class Upkeep:
    """Decides what to do next for the store, and does it in small steps."""

    def __init__(self, store: Store, clock: Clock, retention: Retention, *, wal_bytes_max: int = WAL_BYTES_MAX) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._wal_bytes_max = wal_bytes_max
        self._purges: deque[QueuedPurge] = deque()
        self._acts: deque[tuple[int, int]] = deque()
        """Acts decided before a moment are to be forgotten, from a key on."""
        self._forgets_purged = False
        self._looked_at = self._tidied_at = self._busy_at = self._rests_until = 0
        self._quiet = False
        self._swept_at: int | None = None
        self._untidy = False
        self._counts: Counter[str] = Counter()
        self.choked = False
        """Whether no new sagas may be accepted: a reader holds on to the log, which would fill the disk (I20)."""

    def __repr__(self) -> str:
        return f"Upkeep(purges={len(self._purges)}, choked={self.choked})"

    @property
    def eager(self) -> bool:
        """Whether the next step should not wait for anything else."""
        return self._quiet and self._has_work

    @property
    def _has_work(self) -> bool:
        return bool(self._purges or self._acts or self._forgets_purged)

    async def step(self, now: int, *, idle: bool) -> None:
        """Do a little, if it is time."""
        if now - self._looked_at >= LOOK_INTERVAL_MS:
            self._looked_at = now
            await self._watch_log()
            await self._look(now)
        if not idle:
            self._untidy, self._busy_at = True, now
        self._quiet = now - self._busy_at >= QUIET_MS
        if not self._quiet and now < self._rests_until:
            return
        began_ms = self._clock.monotonic_ms()
        await self._do(now, PURGE_ROWS_MAX if self._quiet else PURGE_ROWS_BUSY_MAX)
        self._rests_until = now + max(REST_MS_MIN, REST * (self._clock.monotonic_ms() - began_ms))

    async def _do(self, now: int, rows_max: int) -> None:
        if self._purges:
            await self._purge(rows_max)
        elif self._acts:
            await self._forget_acts(rows_max)
        elif self._forgets_purged:
            await self._forget_purged(now, rows_max)
        elif self._untidy and self._quiet and now - self._tidied_at >= TIDY_INTERVAL_MS:
            self._tidied_at = now
            self._untidy = not await self._store.tidy()

    async def _watch_log(self) -> None:
        if self.choked:
            await self._store.tidy()  # the reader may have gone, and nothing else may come that would find out
        held = self._store.held_bytes()
        choked = held > self._wal_bytes_max
        if choked and not self.choked:
            why = "a reader holds an old snapshot of the store: end it; no new sagas are accepted meanwhile"
            _log.error("store.log_too_long", bytes=held, bytes_max=self._wal_bytes_max, why=why)
        elif self.choked and not choked:
            _log.info("store.log_short_again", bytes=held)
        self.choked = choked

    async def _look(self, now: int) -> None:
        """Find work: what operators asked for, and what has become too old."""
        if self._has_work:
            return
        self._purges += await self._store.waiting_purges()
        if self._swept_at is not None and now - self._swept_at < SWEEP_INTERVAL_MS:
            return
        self._swept_at = now
        if self._retention.sagas_ms is not None:
            self._purges.append(QueuedPurge("", Purge(now - self._retention.sagas_ms)))
        self._forgets_purged = self._retention.identities_ms is not None

    async def _purge(self, rows_max: int) -> None:
        queued = self._purges[0]
        try:
            step = await self._store.purge(queued, rows_max)
        except ConflictError as error:
            _log.warning("purge.conflict", error=str(error))  # the same rows are looked at again
            return
        self._untidy = True
        self._counts[queued.purge_id] += step.purged
        if step.next_key is not None:
            self._purges[0] = replace(queued, from_key=step.next_key)
            return
        self._purges.popleft()
        self._acts.append((queued.wanted.ended_before, 0))
        purged = self._counts.pop(queued.purge_id)
        if purged or queued.purge_id:
            _log.info("sagas.purged", sagas=purged, purge=queued.purge_id or "retention")

    async def _forget_acts(self, rows_max: int) -> None:
        before, from_key = self._acts[0]
        step = await self._store.forget_acts(before, from_key, rows_max)
        if step.next_key is None:
            self._acts.popleft()
        else:
            self._acts[0] = (before, step.next_key)

    async def _forget_purged(self, now: int, rows_max: int) -> None:
        assert self._retention.identities_ms is not None
        forgotten = await self._store.forget_purged(now - self._retention.identities_ms, rows_max)
        self._forgets_purged = forgotten == rows_max
