"""The store's clock, where the store is a server: the server's own, as far as it is known here (R64)."""

from __future__ import annotations

from collections import deque

from kafka_saga.runtime.clock import Clock

SAMPLES = 10
"""The fastest of so many answers sets the clock: its reading is the youngest when it comes."""


class ServerTime:
    """Goes on with our monotonic clock from what the server's showed. Nobody's wall clock counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ms: deque[int] = deque(maxlen=SAMPLES)
        self._newest_ms = 0
        self._read_at_ms = clock.monotonic_ms()

    def monotonic_ms(self) -> int:
        """Our own clock, for durations."""
        return self._clock.monotonic_ms()

    def compare(self, server_ms: int, newest_ms: int) -> None:
        """An answer has come just now.

        Args:
            server_ms: what the server's clock showed before it answered: less than it shows now.
            newest_ms: the newest moment that any batch was decided at (R27).

        """
        self._ahead_ms.append(server_ms - self._clock.monotonic_ms())
        self._newest_ms = max(self.now_ms(), newest_ms)

    def now_ms(self) -> int:
        """Never ahead of the server's clock, and never back: where that is set back, time goes on at our own pace."""
        read_at_ms = self._clock.monotonic_ms()
        known_ms = read_at_ms + max(self._ahead_ms) if self._ahead_ms else 0
        self._newest_ms = max(known_ms, self._newest_ms + read_at_ms - self._read_at_ms)
        self._read_at_ms = read_at_ms
        return self._newest_ms
