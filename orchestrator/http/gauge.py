"""How the sagas are, in figures: taken from the store at most once a second, for all who ask."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kafka_saga.orchestrator.http.readers import Readers
from kafka_saga.orchestrator.operations.sagas.watching import Snapshot, Watch
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.live_limits import GAUGE_AGE_MS_MAX


@dataclass(slots=True)
class Gauge:
    """Remembers the newest figures."""

    readers: Readers
    clock: Clock
    _watch: Watch | None = None
    _newest: Snapshot | None = None
    _read_at: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> Snapshot:
        """The figures, no older than `GAUGE_AGE_MS_MAX`.

        Raises:
            StoreUnavailableError: the store does not answer.

        """
        async with self._turn:
            now = self.clock.monotonic_ms()
            if self._newest is None or now - self._read_at >= GAUGE_AGE_MS_MAX:
                async with self.readers.take() as reader:
                    watch = self._watch = self._watch or Watch(reader, self.clock)
                    watch.reader = reader  # another one each time; what it remembers goes on
                    self._newest = await watch.look()
                self._read_at = self.clock.monotonic_ms()
            return self._newest
