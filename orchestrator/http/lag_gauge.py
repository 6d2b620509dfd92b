"""Who reads what, and how far behind: asked of Kafka once in a while for all who look, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from kafka_saga.orchestrator.operations.kafka.lag import Groups, Reader, stand_still
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.live_limits import LAG_AGE_MS_MAX

_LOOKED_AWAY_MS = 2 * LAG_AGE_MS_MAX
"""Whoever looks again after this has seen nothing newer for too long to be shown that."""


@dataclass(frozen=True, slots=True)
class LagReading:
    """What Kafka said last.

    Attributes:
        at: when it said so, milliseconds; None before its first answer.
        trouble: why the newest question had no answer; None where it had one, or was not asked yet.
        still: since when nothing was read, milliseconds, where something waits: as far as anybody has looked.

    """

    at: int | None = None
    groups: Groups = field(default_factory=Groups)
    trouble: str | None = None
    still: Mapping[Reader, int] = field(default_factory=dict)

    @property
    def behind(self) -> int | None:
        """Messages that wait in all topics; None while that is not known."""
        return None if self.at is None else sum(one.behind for one in self.groups.lags)


@dataclass(slots=True)
class LagGauge:
    """Remembers the newest reading; there is one question at a time, and the last answer stays while there is none.

    Args:
        clock: time.
        ask: asks the store and Kafka.

    """

    clock: Clock
    ask: Callable[[], Awaitable[Groups]]
    _newest: LagReading = field(default_factory=LagReading)
    _asked_at: int | None = None
    _asking: asyncio.Task[None] | None = None

    async def read(self, patience_ms: int = 0) -> LagReading:
        """The newest reading; where it is older than `LAG_AGE_MS_MAX`, another is begun.

        Args:
            patience_ms: how long to wait for it where nobody has looked for a while.

        """
        ticks = self.clock.monotonic_ms()
        idle = self._asking is None or self._asking.done()
        if self._asked_at is None or (idle and ticks - self._asked_at >= LAG_AGE_MS_MAX):
            is_news = self._asked_at is None or ticks - self._asked_at > _LOOKED_AWAY_MS
            self._asked_at = ticks
            self._asking = asyncio.create_task(self._ask(), name="ask Kafka for lag")
            if is_news and patience_ms:
                await asyncio.wait({self._asking}, timeout=patience_ms / 1000)
        return self._newest

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            groups = await self.ask()
        except SagaError as error:
            self._newest = replace(self._newest, trouble=str(error))
        else:
            at, before = self.clock.now_ms(), self._newest
            self._newest = LagReading(at, groups, still=stand_still(before.groups, before.still, groups, at))
        self._asked_at = self.clock.monotonic_ms()
