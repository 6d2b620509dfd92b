"""How many sagas run at once (R20).

A flood of requests must wait in its topic: if all were started, their commands would time out behind their own
queue. The window halves while the oldest awaited command has used up a quarter of its time, and grows again after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from kafka_saga.orchestrator.machine.saga import OPERATOR, Saga
from kafka_saga.orchestrator.machine.states import ACTIVE, SagaState
from kafka_saga.runtime.limits import HELD_MAX, IN_FLIGHT_MIN, PENDING_MAX
from kafka_saga.schemas.ids import SagaRef

HALVE_INTERVAL_MS = 1_000
"""A halved window needs a moment to show; halving at every batch would close it at the first hiccup."""

QUEUE_TIMEOUT_MS_MAX = 60_000
"""A command that may take longer than a minute waits for a person, not in a queue: its age tells nothing."""

GROWTH_PER_SECOND = 0.5
"""Back from the smallest to the largest window in about ten seconds."""


class Awaited(NamedTuple):
    """What many sagas wait for alike: the reply to one step's command, within the same time."""

    timeout_ms: int
    saga_type: str
    definition_version: int
    step: int


class Admission:
    """The window, the sagas in it, and the age of what they wait for."""

    def __init__(self, in_flight_max: int) -> None:
        self._max = in_flight_max
        self._min = min(IN_FLIGHT_MIN, in_flight_max)
        self._window = float(in_flight_max)
        self._adjusted_at = 0
        # Insertion order is the order of sending.
        self._awaiting: dict[Awaited, dict[SagaRef, int]] = {}
        self._awaited: dict[SagaRef, Awaited] = {}
        self.in_flight = 0
        """Sagas under way that nothing holds. One that is held waits for people: it must not stop all others."""
        self.unsendable = 0
        """Of these, those whose command its topic does not take for now: one topic must not stop all others (R56)."""
        self.pending = 0
        """Sagas that wait for admission, and nothing but room keeps them from it."""
        self.held: Counter[str] = Counter()
        """Held sagas by the scope that holds them; no zeros."""
        self._paused_types: Collection[str] = ()

    def __repr__(self) -> str:
        return f"Admission(window={int(self._window)}, in_flight={self.in_flight}, pending={self.pending})"

    def begin(
        self,
        counts: Mapping[SagaState, int],
        held: Mapping[tuple[str, SagaState], int] = MappingProxyType({}),
        *,
        paused_types: Collection[str] = (),
        pending_of_them: int = 0,
    ) -> None:
        """Take over what the store has: at the start, when it may have changed, and when what is paused has."""
        free = Counter(counts)
        self.held.clear()
        for (scope, state), count in held.items():
            free[state] -= count
            self.held[scope] += count
        self.in_flight = sum(free[state] for state in ACTIVE)
        self.pending = free[SagaState.PENDING] - pending_of_them
        self._paused_types = paused_types

    @property
    def room(self) -> int:
        """How many more sagas may start now. Very many held ones take room too: nobody knows when they will end."""
        beyond = max(0, self.held.total() - HELD_MAX) if self.held else 0
        return max(0, int(self._window) - self._active - beyond)

    @property
    def room_to_go_on(self) -> int:
        """How many sagas may go on now that were held."""
        return max(0, int(self._window) - self._active)

    @property
    def _active(self) -> int:
        return max(0, self.in_flight - self.unsendable)

    @property
    def request_wanted(self) -> bool:
        """Whether request partitions should be read: half a window of accepted sagas is enough in hand."""
        return self.pending * 2 < max(1, min(int(self._window), PENDING_MAX))

    def releasable(self, holding: Collection[str]) -> list[str]:
        """The scopes that hold sagas although they are not paused any more."""
        return [scope for scope in self.held if scope != OPERATOR and scope not in holding]

    def moved(self, before: Saga | None, saga: Saga) -> None:
        """A saga was committed; `before` is as it was read, None where it is new."""
        self._count(saga, 1)
        if before is not None:
            self._count(before, -1)
        awaited = self._awaited.pop(saga.ref, None)
        if awaited is not None:
            del self._awaiting[awaited][saga.ref]
        index = saga.active_index
        if index is None or saga.state not in ACTIVE or saga.held is not None:
            return
        step = saga.steps[index]
        if step.deadline_at is not None and step.sent_at is not None:
            timeout_ms = step.deadline_at - step.sent_at
            if timeout_ms > QUEUE_TIMEOUT_MS_MAX:
                return
            awaited = Awaited(timeout_ms, saga.ref.saga_type, saga.definition_version, index)
            self._awaited[saga.ref] = awaited
            self._awaiting.setdefault(awaited, {})[saga.ref] = step.sent_at

    def _count(self, saga: Saga, by: int) -> None:
        if saga.held is not None:
            self.held[saga.held.scope] += by
            if not self.held[saga.held.scope]:
                del self.held[saga.held.scope]
        elif saga.state in ACTIVE:
            self.in_flight += by
        elif saga.state is SagaState.PENDING and saga.ref.saga_type not in self._paused_types:
            self.pending += by

    def adjust(self, now: int, is_unsendable: Callable[[Awaited], bool] | None = None) -> None:
        """Halve or grow the window by the age of the oldest awaited command that its topic takes."""
        elapsed_ms = now - self._adjusted_at
        if self._late(now, is_unsendable):
            if elapsed_ms >= HALVE_INTERVAL_MS:
                self._window = max(float(self._min), self._window / 2)
                self._adjusted_at = now
        elif elapsed_ms > 0:
            growth = 1 + GROWTH_PER_SECOND * min(elapsed_ms, 1_000) / 1_000
            self._window = min(float(self._max), self._window * growth)
            self._adjusted_at = now

    def _late(self, now: int, is_unsendable: Callable[[Awaited], bool] | None) -> bool:
        return any(
            now - next(iter(awaiting.values())) > awaited.timeout_ms / 4
            and (is_unsendable is None or not is_unsendable(awaited))
            for awaited, awaiting in self._awaiting.items()
            if awaiting
        )
