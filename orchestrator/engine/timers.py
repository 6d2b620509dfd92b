"""When a timer may fire (R21).

A timeout says "no reply came", and only that reading can justify it: the command must be known to be published,
and the reply topics must have been read to an end that was asked for after the deadline. While the broker is away
neither can be known, so nothing fires; afterwards the waits begin again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from kafka_saga.orchestrator.engine.drain import TOLD_MS, Drain
from kafka_saga.orchestrator.engine.outages import SLOW_MS
from kafka_saga.orchestrator.engine.publish import Publisher
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.schemas.ids import SagaRef

OUTBOX: Final = "outbox"
"""Holds timers while a message has been decided for long and is not published."""

LOOK_INTERVAL_MS = 1_000
"""How often the store is asked whether a timer that is held is still set."""


def stalls(oldest_unsent_at: int | None, now: int) -> bool:
    """Whether a message was decided for so long, and is not published, that no silence tells anything."""
    return oldest_unsent_at is not None and now - oldest_unsent_at > SLOW_MS


def what_holds(
    wake_at: int | None, now: int, oldest_unsent_at: int | None, unread: Callable[[int], Sequence[str]]
) -> Sequence[str]:
    """What keeps timers from firing that have been due since `wake_at`, which is long: an outbox, or what is unread."""
    if wake_at is None or now - wake_at < TOLD_MS:
        return ()
    return (OUTBOX,) if stalls(oldest_unsent_at, now) else unread(wake_at)


class Timers:
    """Finds sagas whose timer has run out and may fire."""

    def __init__(self, *, store: Store, drain: Drain, publisher: Publisher) -> None:
        self._store = store
        self._drain = drain
        self._publisher = publisher
        self._next_wake_at: int | None = 0
        self._looked_at = 0

    def __repr__(self) -> str:
        return f"Timers(next_wake_at={self._next_wake_at}, drained_at={self._drain.reached_at})"

    @property
    def next_wake_at(self) -> int | None:
        """No timer runs out before this moment; None where none is set."""
        return self._next_wake_at

    def armed(self, wake_at: int | None) -> None:
        """A saga was committed that needs the timer at `wake_at`."""
        if wake_at is not None and (self._next_wake_at is None or wake_at < self._next_wake_at):
            self._next_wake_at = wake_at

    def held_by(self, now: int) -> Sequence[str]:
        """What keeps timers from firing that have long been due: partitions, `brokers`, or our own `outbox`."""
        return what_holds(self._next_wake_at, now, self._publisher.oldest_unpublished_at, self._unread)

    def _unread(self, wake_at: int) -> Sequence[str]:
        return self._drain.waits_for if self._drain.reached_at < wake_at else ()

    async def due(self, now: int) -> list[SagaRef]:
        """The sagas whose timer may fire now, oldest first. Call after a poll, before its records are decided."""
        if self._next_wake_at is None or self._next_wake_at > now:
            self._drain.rest(now)
            return []
        if stalls(self._publisher.oldest_unpublished_at, now):
            return []
        await self._drain.step(now)
        if self._drain.reached_at < self._next_wake_at:
            if now - self._looked_at >= LOOK_INTERVAL_MS:  # a reply may have come first, and then nobody waits
                self._next_wake_at, self._looked_at = await self._store.next_wake_at(), now
            return []
        due = await self._store.due(min(now, self._drain.reached_at), BATCH_RECORDS_MAX)
        if len(due) < BATCH_RECORDS_MAX:
            self._next_wake_at = await self._store.next_wake_at()
        return due
