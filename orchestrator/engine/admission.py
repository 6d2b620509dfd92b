"""How many sagas run at once (R20).

A flood of requests must wait in its topic: if all were started, their commands would time out behind their own
queue. The window halves while the oldest awaited command has used up a quarter of its time, and grows again after.
"""

from __future__ import annotations

from orchestrator.machine.saga import Saga
from orchestrator.machine.states import ACTIVE, SagaState
from runtime.limits import IN_FLIGHT_MIN
from schemas.ids import SagaRef

HALVE_INTERVAL_MS = 1_000
"""A halved window needs a moment to show; halving at every batch would close it at the first hiccup."""

QUEUE_TIMEOUT_MS_MAX = 60_000
"""A command that may take longer than a minute waits for a person, not in a queue: its age tells nothing."""

GROWTH_PER_SECOND = 0.5
"""Back from the smallest to the largest window in about ten seconds."""


class Admission:
    """The window, the sagas in it, and the age of what they wait for."""

    def __init__(self, in_flight_max: int) -> None:
        self._max = in_flight_max
        self._min = min(IN_FLIGHT_MIN, in_flight_max)
        self._window = float(in_flight_max)
        self._adjusted_at = 0
        # By timeout, because ages are compared with it; insertion order is the order of sending.
        self._awaiting: dict[int, dict[SagaRef, int]] = {}
        self._timeouts: dict[SagaRef, int] = {}
        self.in_flight = 0
        self.pending = 0

    def __repr__(self) -> str:
        return f"Admission(window={int(self._window)}, in_flight={self.in_flight}, pending={self.pending})"

    def begin(self, counts: dict[SagaState, int]) -> None:
        """Take over what the store has at the start."""
        self.in_flight = sum(counts.get(state, 0) for state in ACTIVE)
        self.pending = counts.get(SagaState.PENDING, 0)

    @property
    def room(self) -> int:
        """How many more sagas may start now."""
        return max(0, int(self._window) - self.in_flight)

    @property
    def request_wanted(self) -> bool:
        """Whether request partitions should be read: half a window of accepted sagas is enough in hand."""
        return self.pending * 2 < max(1, int(self._window))

    def moved(self, before: SagaState | None, saga: Saga) -> None:
        """A saga was committed; `before` is the state it came from, None where it is new."""
        self.in_flight += (saga.state in ACTIVE) - (before in ACTIVE)
        self.pending += (saga.state is SagaState.PENDING) - (before is SagaState.PENDING)
        old_timeout = self._timeouts.pop(saga.ref, None)
        if old_timeout is not None:
            del self._awaiting[old_timeout][saga.ref]
        index = saga.active_index
        if index is None or saga.state not in ACTIVE:
            return
        step = saga.steps[index]
        if step.deadline_at is not None and step.sent_at is not None:
            timeout_ms = step.deadline_at - step.sent_at
            if timeout_ms > QUEUE_TIMEOUT_MS_MAX:
                return
            self._timeouts[saga.ref] = timeout_ms
            self._awaiting.setdefault(timeout_ms, {})[saga.ref] = step.sent_at

    def adjust(self, now: int) -> None:
        """Halve or grow the window by the age of the oldest awaited command."""
        elapsed_ms = now - self._adjusted_at
        if self._late(now):
            if elapsed_ms >= HALVE_INTERVAL_MS:
                self._window = max(float(self._min), self._window / 2)
                self._adjusted_at = now
        elif elapsed_ms > 0:
            growth = 1 + GROWTH_PER_SECOND * min(elapsed_ms, 1_000) / 1_000
            self._window = min(float(self._max), self._window * growth)
            self._adjusted_at = now

    def _late(self, now: int) -> bool:
        return any(
            now - next(iter(awaiting.values())) > timeout_ms / 4
            for timeout_ms, awaiting in self._awaiting.items()
            if awaiting
        )
