"""How often somebody may ask: a bucket for each, which fills again by itself."""

from __future__ import annotations

from collections import OrderedDict

from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import HTTP_BUCKETS_MAX


class Rates:
    """Buckets by name, at most `HTTP_BUCKETS_MAX`: the one unused for longest makes room, and is full again.

    Args:
        clock: time, as it only grows.
        per_second: what comes back in a second.
        burst: what may be taken at once.

    """

    def __init__(self, clock: Clock, *, per_second: float, burst: int) -> None:
        self._clock = clock
        self._per_ms = per_second / 1000
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str) -> bool:
        """Take one; False where nothing is left."""
        left, at = self._left(name)
        allowed = left >= 1
        self._buckets[name] = (left - 1 if allowed else left, at)
        self._buckets.move_to_end(name)
        while len(self._buckets) > HTTP_BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return allowed

    def has(self, name: str) -> bool:
        """Whether one could be taken."""
        return self._left(name)[0] >= 1

    def _left(self, name: str) -> tuple[float, int]:
        now = self._clock.monotonic_ms()
        left, at = self._buckets.get(name, (float(self._burst), now))
        return min(float(self._burst), left + (now - at) * self._per_ms), now
