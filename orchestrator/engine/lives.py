"""Who of the other replicas is dead (R61). Judged by watching, never by comparing clocks.

A beat is a counter. Whoever has seen the same one for so long, and could see others move meanwhile, may declare its
owner dead; with timestamps an outage of the database would make everybody dead at once, and a clock's step too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kafka_saga.orchestrator.store.members import Peer
from kafka_saga.runtime.limits import LEASE_MS

BEATS_MIN = 4
"""So many beats of our own must have succeeded meanwhile: else it was we who saw nothing."""


@dataclass(slots=True)
class _Watched:
    """A beat that stands still."""

    beat: int
    since_ms: int
    looks: int = 0


class Judge:
    """Watches the beats of others."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}

    def look(self, peers: Iterable[Peer], own: int, now_ms: int) -> list[Peer]:
        """Those whose beat has stood still for the lease; `now_ms` is our own monotonic clock."""
        others = {peer.replica: peer for peer in peers if peer.replica != own}
        self._watched = {replica: seen for replica, seen in self._watched.items() if replica in others}
        dead = []
        for replica, peer in others.items():
            seen = self._watched.get(replica)
            if seen is None or seen.beat != peer.beat:
                self._watched[replica] = _Watched(peer.beat, now_ms)
                continue
            seen.looks += 1
            if now_ms - seen.since_ms >= LEASE_MS and seen.looks >= BEATS_MIN:
                dead.append(peer)
        return dead

    @property
    def beating(self) -> int:
        """How many lives there are whose beat moves, and our own (R63, R72)."""
        return 1 + sum(seen.looks < BEATS_MIN for seen in self._watched.values())
