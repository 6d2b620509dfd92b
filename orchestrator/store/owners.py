"""Who works on a store now: the process that holds a file's lock, or the replicas whose beats move."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kafka_saga.orchestrator.store.tables import Tables
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import LEASE_MS, REPLICA_WATCH_MS
from kafka_saga.runtime.store_lock import StoreLock

LOOK_MS = 100


class Owners(Protocol):
    """Asks who owns a store."""

    async def now(self, clock: Clock) -> str | None:
        """Who works on the store, in words; None where nobody does."""
        ...

    def through(self, tables: Tables) -> Owners:
        """The same with all that it has seen, asking by another connection."""
        ...


@dataclass(frozen=True, slots=True)
class FileOwner:
    """`Owners` of a SQLite file."""

    path: Path

    async def now(self, _clock: Clock) -> str | None:
        return StoreLock(self.path).holder()

    def through(self, _tables: Tables) -> Owners:
        return self


@dataclass(slots=True)
class _Seen:
    """What was seen of the beats.

    Attributes:
        beats: of each replica, as they were at the last look.
        moved_at: when each moved last.
        watched: whether it was once watched for long enough.

    """

    beats: dict[int, int] = field(default_factory=dict)
    moved_at: dict[int, int] = field(default_factory=dict)
    watched: bool = False


@dataclass(slots=True)
class BeatingReplicas:
    """`Owners` of a PostgreSQL store: a replica that was killed leaves its row, so only a beat that moves is life."""

    tables: Tables
    _seen: _Seen = field(default_factory=_Seen)

    async def now(self, clock: Clock) -> str | None:
        """Who beats; the first time it is watched for as long as a replica that starts watches its namesake (R61)."""
        names = await (self._look(clock) if self._seen.watched else self._watch(clock, all_of_them=False))
        self._seen.watched = True
        return f"replica {', '.join(names)}" if names else None

    def through(self, tables: Tables) -> Owners:
        return BeatingReplicas(tables, self._seen)

    async def everybody(self, clock: Clock) -> set[int]:
        """All lives that beat, each watched for that long if need be."""
        await self._watch(clock, all_of_them=True)
        return self._beating(clock)

    async def _watch(self, clock: Clock, *, all_of_them: bool) -> list[str]:
        began = clock.monotonic_ms()
        while True:
            names = await self._look(clock)
            enough = len(names) == len(self._seen.beats) if all_of_them else names or not self._seen.beats
            if enough or clock.monotonic_ms() - began >= REPLICA_WATCH_MS:
                return names
            await clock.sleep(LOOK_MS)

    def _beating(self, clock: Clock) -> set[int]:
        now = clock.monotonic_ms()
        return {replica for replica, at in self._seen.moved_at.items() if now - at <= LEASE_MS}

    async def _look(self, clock: Clock) -> list[str]:
        rows, seen = await self.tables.fetch_all("beats"), self._seen
        moved = [replica for replica, _name, beat in rows if seen.beats.get(replica, beat) != beat]
        seen.moved_at |= dict.fromkeys(moved, clock.monotonic_ms())
        seen.beats = {replica: beat for replica, _name, beat in rows}
        beating = self._beating(clock)
        return [name for replica, name, _beat in rows if replica in beating]
