"""What an orchestrator shows of itself: its health, and gauges that are asked for at the scrape.

Of several replicas on one database each tells of its own work: what it has not published, the lag of its partitions.
What is the whole store's (sagas by state) is told by one, the owner of the first lane, so that a sum is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import Metric

from kafka_saga.messaging.meters import OUTBOX, OUTBOX_AGE
from kafka_saga.orchestrator.engine.worker import Engine
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.health import Finding
from kafka_saga.runtime.limits import (
    OUTBOX_AGE_MS_MAX,
    UNANSWERED_MS_MAX,
)
from kafka_saga.runtime.metrics import Meter
from kafka_saga.runtime.wording import counted, duration

_INTERVAL_MS: Final = 2_000
_SHARE: Final = 100
_AGE_MS_MAX: Final = 15_000
"""A count is made so often, and takes at most one part of so many of the time, however many sagas there are; but what
alerts are made of is not older than the last of these because a busy machine kept a count waiting."""

ACTIVE: Final = Meter("saga_active", "Sagas that have not ended, by state; told by one replica", ("saga", "state"))
TIMERS_HELD: Final = Meter(
    "saga_timers_held",
    "1 for each partition that keeps due timers from firing, for the outbox, or for brokers that do not answer",
    ("by",),
)
PARKED: Final = Meter("saga_parked", "Sagas that wait for a person; told by one replica", ("saga",))


class ActiveSagas:
    """Sagas by type and state, read beside the engine and only as often as it costs next to nothing."""

    def __init__(self, at: StoreLocation, saga_types: Sequence[str], clock: Clock) -> None:
        """Nothing is opened before `read`; the types show even where no saga of them is active."""
        self._at = at
        self._types = tuple(saga_types)
        self._clock = clock
        self._reader: StoreReader | None = None
        self._next_at_ms = 0
        self._found: dict[tuple[str, str], float] | None = None
        """None before the first count: what nobody counted is left out, for a 0 would say that all is well."""

    async def read(self) -> None:
        """Count, unless that was done just now.

        Raises:
            StoreUnavailableError: the store does not answer.

        """
        began_ms = self._clock.monotonic_ms()
        if began_ms < self._next_at_ms:
            return
        self._next_at_ms = began_ms + _INTERVAL_MS
        if self._reader is None:
            self._reader = await StoreReader.open(self._at)
        try:
            found = await self._reader.tables.fetch_all("count_types")
        except Exception:
            await self.close()
            raise
        took_ms = self._clock.monotonic_ms() - began_ms
        self._next_at_ms += min(_AGE_MS_MAX, _SHARE * took_ms)
        self._found = {(saga_type, state.lower()): count for saga_type, state, count in found}

    def families(self) -> Iterator[Metric]:
        """What a scrape shows."""
        found = self._found
        if found is None:
            return
        yield ACTIVE.measured({place: number for place, number in found.items() if place[1] != "parked"})
        yield PARKED.measured({name: found.get((name, "parked"), 0) for name in self._types})

    async def close(self) -> None:
        """Let the store go."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


class Showing:
    """Looks at an engine."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._publisher, self._ownership = engine.parts
        self._clock = clock

    def look_at_store(self) -> Finding:
        """The engine reads it five times a second at least; nothing more is asked."""
        silent_ms = self._clock.monotonic_ms() - self._engine.turned_at_ms
        return Finding(silent_ms < UNANSWERED_MS_MAX, f"answered {duration(silent_ms)} ago")

    def look_at_outbox(self) -> Finding:
        """Whether what is decided reaches Kafka."""
        waiting, age_ms = self._publisher.waiting, self._outbox_age_ms()
        text = f"{counted(waiting, 'message')} to be published" + (f", for {duration(age_ms)}" if age_ms else "")
        return Finding(age_ms < OUTBOX_AGE_MS_MAX, text)

    def families(self) -> Iterator[Metric]:
        """What a scrape shows of this engine's own."""
        yield OUTBOX.measured({(): self._publisher.waiting})
        yield OUTBOX_AGE.measured({(): max(self._outbox_age_ms(), self._publisher.held_ms) / 1000})
        held_by = self._ownership.timers.held_by(self._engine.now())
        yield TIMERS_HELD.measured({(name,): 1 for name in held_by})

    def of_store(self, active: ActiveSagas) -> Iterator[Metric]:
        """What is the whole store's, where that is ours to tell."""
        if self._ownership.speaks_for_store:
            yield from active.families()

    async def read(self, active: ActiveSagas) -> None:
        """Ask for it."""
        if self._ownership.speaks_for_store:
            await active.read()

    def _outbox_age_ms(self) -> int:
        oldest = self._publisher.oldest_unpublished_at
        return 0 if oldest is None else max(0, self._engine.now() - oldest)
