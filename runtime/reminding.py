"""When to say that something goes on: not at once, not once only, and not all the time."""

from __future__ import annotations

from typing import Final

INTERVAL_MS_MAX: Final = 10 * 60_000


class Reminder:
    """For one thing that should not last: it is worth a line after a while, and again after twice as long each time."""

    def __init__(self, first_ms: int) -> None:
        """`first_ms` is how long it may last without a word, in milliseconds."""
        self._first_ms = first_ms
        self._began_at: int | None = None
        self._wait_ms = first_ms
        self._next_at = 0
        self._told = False

    def goes_on(self, now: int) -> bool:
        """It lasts, at `now`: whether that is to be said."""
        if self._began_at is None:
            self._began_at, self._wait_ms, self._next_at = now, self._first_ms, now + self._first_ms
        if now < self._next_at:
            return False
        self._wait_ms = min(max(1, 2 * self._wait_ms), INTERVAL_MS_MAX)
        self._next_at = now + self._wait_ms
        self._told = True
        return True

    def lasted_ms(self, now: int) -> int:
        """For how long it lasts, at `now`."""
        return 0 if self._began_at is None else now - self._began_at

    def ended(self, now: int) -> int | None:
        """It is over, at `now`: how long it lasted where that was said, and its end should be; None otherwise."""
        lasted_ms = self.lasted_ms(now) if self._told else None
        self._began_at, self._told = None, False
        return lasted_ms
