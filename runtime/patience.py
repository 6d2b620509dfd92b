"""Waiting for a server that does not answer, or takes nothing for now (R68)."""

from __future__ import annotations

import asyncio

from kafka_saga.runtime.clock import Clock, rest
from kafka_saga.runtime.errors import StoreFullError, StoreUnavailableError
from kafka_saga.runtime.telemetry import log

_log = log("store")

REST_MS_MIN = 50
REST_MS_MAX = 2_000
"""Nobody notices a database later than two seconds after it is back."""


class Patience:
    """Rests between attempts, longer each time, and says once why it waits."""

    def __init__(self, clock: Clock, stopping: asyncio.Event, why: str) -> None:
        """Nothing has failed yet.

        Args:
            clock: for the rests.
            stopping: ends a wait.
            why: what it means that the server is away: a sentence for the log.

        """
        self._clock = clock
        self._stopping = stopping
        self._why = why
        self._rest_ms = REST_MS_MIN
        self._silent_since_ms: int | None = None
        self._is_said_full = False

    async def unanswered(self, error: StoreUnavailableError) -> None:
        """An attempt failed: return when it is time for the next.

        Raises:
            StoreUnavailableError: `error`, where this process was told to stop, and it is not the first.

        """
        if self._silent_since_ms is not None and self._stopping.is_set():
            raise error
        self.notes(error)
        await rest(self._stopping, self._clock, self._rest_ms)
        self._rest_ms = min(REST_MS_MAX, 2 * self._rest_ms)

    def answered(self) -> None:
        """An attempt succeeded."""
        if self._silent_since_ms is not None:
            _log.info("store.answers_again", after_ms=self._clock.monotonic_ms() - self._silent_since_ms)
            self._silent_since_ms = None
        self._is_said_full = False
        self._rest_ms = REST_MS_MIN

    def notes(self, error: Exception) -> bool:
        """Say once that the server is away, where that is what `error` means: whoever waits in other ways asks this."""
        if not isinstance(error, StoreUnavailableError):
            return False
        is_full, is_first = isinstance(error, StoreFullError), self._silent_since_ms is None
        if is_first:
            self._silent_since_ms = self._clock.monotonic_ms()
        if is_full and not self._is_said_full:
            self._is_said_full = True
            _log.error("store.full", error=str(error), why=self._why)
        elif is_first:
            _log.warning("store.unavailable", error=str(error), why=self._why)
        return True
