"""How many sagas run at once where replicas share the work (R72): all of them fill one window together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from kafka_saga.orchestrator.engine.admission import Admission, Awaited
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import ACTIVE, SagaState
from kafka_saga.orchestrator.store.members import Members
from kafka_saga.runtime.limits import HELD_MAX, PENDING_MAX

REST_MS = 200
"""What waits is somebody else's to admit: so long we do not ask again."""


class SharedAdmission(Admission):
    """Each admits its part of what all together may, of its own lanes."""

    def __init__(self, in_flight_max: int, members: Members, now: Callable[[], int]) -> None:
        super().__init__(in_flight_max)
        self._members = members
        self._now = now
        self._rests_until = 0
        self.replicas = 1
        """How many live."""

    @property
    def window(self) -> int:
        """Our own: the smallest of all counts."""
        return int(self._window)

    def take(self) -> None:
        """Take over what all come to together, as the last batch or beat of ours saw it."""
        sums = self._members.sums
        self.in_flight = sums.in_flight
        self.pending = 0 if self._now() < self._rests_until else sums.pending

    def forget(self) -> None:
        """Other lanes are ours: what the sagas of those before wait for is somebody else's to see."""
        self._awaiting.clear()
        self._awaited.clear()

    def rest(self) -> None:
        """None of what waits is of our lanes."""
        self._rests_until = self._now() + REST_MS
        self.pending = 0

    @property
    def room(self) -> int:
        beyond = max(0, self.held.total() - HELD_MAX) if self.held else 0
        return self._part(self._common_window - self._active - beyond)

    @property
    def room_to_go_on(self) -> int:
        return self._part(self._common_window - self._active)

    @property
    def request_wanted(self) -> bool:
        return self._members.sums.pending * 2 < max(1, min(self._common_window, PENDING_MAX))

    def adjust(self, now: int, is_unsendable: Callable[[Awaited], bool] | None = None) -> None:
        self._forget_overdue(now)
        super().adjust(now, is_unsendable)

    def _forget_overdue(self, now: int) -> None:
        """What is awaited for longer than its timeout was seen to by another replica: for a moment it was the owner."""
        for awaited, awaiting in self._awaiting.items():
            while awaiting and now - next(iter(awaiting.values())) > awaited.timeout_ms:
                ref = next(iter(awaiting))
                del awaiting[ref], self._awaited[ref]

    def releasable(self, holding: Collection[str]) -> list[str]:
        return [] if self._now() < self._rests_until else super().releasable(holding)

    @property
    def _common_window(self) -> int:
        return min(self.window, self._members.sums.window or self.window)

    def _part(self, room: int) -> int:
        return max(0, -(-room // self.replicas))


def changes(moved: Iterable[tuple[Saga | None, Saga]]) -> tuple[int, int]:
    """How many more sagas are under way, and how many more wait for admission, than before a batch."""
    in_flight = pending = 0
    for before, saga in moved:
        for one, by in ((saga, 1), (before, -1)):
            if one is not None and one.held is None:
                in_flight += by * (one.state in ACTIVE)
                pending += by * (one.state is SagaState.PENDING)
    return in_flight, pending
