"""What a store forgets and what it keeps of it (R29): which sagas to purge, and what is left of one.

Purging goes along the primary key from the oldest saga on, a bounded number of rows a step, and remembers where to
go on. Keys and times of acceptance grow together and nothing ends before it was accepted, so the first saga that was
accepted too late for the cut ends the walk. No index on time is needed, and finished sagas keep costing none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.schemas.ids import SagaRef


@dataclass(frozen=True, slots=True)
class Purge:
    """Which finished sagas to purge. An unfinished one is never among them.

    Attributes:
        ended_before: they ended before this moment, milliseconds of the store's clock.
        saga_type: only of this type.
        states: only those that ended like this.

    """

    ended_before: int
    saga_type: str | None = None
    states: frozenset[SagaState] = TERMINAL

    def __post_init__(self) -> None:
        assert self.states <= TERMINAL, "only what has ended is purged"

    def covers(self, ref: SagaRef, state: SagaState, ended_at: int) -> bool:
        """Whether a saga that is in `state` since `ended_at` is to go."""
        return state in self.states and ended_at < self.ended_before and self.saga_type in (None, ref.saga_type)


@dataclass(frozen=True, slots=True)
class QueuedPurge:
    """An operator's purge, and where it goes on after a restart."""

    purge_id: str
    wanted: Purge
    from_key: int = 0


class Asker(NamedTuple):
    """Who wants a purge, and why."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class PurgeStep:
    """What one step did: how many sagas it purged, and the key to go on from; None where nothing is left to look at."""

    purged: int
    next_key: int | None


@dataclass(frozen=True, slots=True)
class Purged:
    """What is kept of a purged saga, so that a duplicate of its request is still known (R29)."""

    ref: SagaRef
    state: SagaState
    request_hash: bytes
    created_at: int
    ended_at: int
    purged_at: int


def digest(saga_id: str) -> int:
    """The key under which a purged saga is found: 64 bits of its id's SHA-256, signed as SQLite's integers are.

    An index of these is a quarter of the size of one of the ids themselves, and ids come in random order: the
    smaller it is, the more of it stays in the cache. Whoever finds a row by it compares the id as well.
    """
    return int.from_bytes(hashlib.sha256(saga_id.encode()).digest()[:8], "big", signed=True)
