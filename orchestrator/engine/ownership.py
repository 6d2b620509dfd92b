"""How an engine stands to its store: its one owner for ever (R22), or one of several that share it (`replica`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kafka_saga.orchestrator.engine.admission import Admission
from kafka_saga.orchestrator.engine.decide import Decided
from kafka_saga.orchestrator.engine.drain import Drain
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.engine.ladder import Ladder
from kafka_saga.orchestrator.engine.outages import Outages
from kafka_saga.orchestrator.engine.pauses import Paused
from kafka_saga.orchestrator.engine.publish import Publisher
from kafka_saga.orchestrator.engine.reader import Reader
from kafka_saga.orchestrator.engine.timers import Timers
from kafka_saga.orchestrator.store.port import Batch, OutboxRow, Store
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.schemas.ids import SagaRef

FLUSH_MS = 1_000
"""How long an idle engine leaves published rows in the outbox before it spends a transaction on them."""


class Waits(Protocol):
    """What fires timers."""

    @property
    def next_wake_at(self) -> int | None: ...
    def armed(self, wake_at: int | None) -> None: ...
    def held_by(self, now: int) -> Sequence[str]: ...
    async def due(self, now: int) -> list[SagaRef]: ...


@dataclass(frozen=True)
class Parts:
    """The parts of an engine that an ownership looks after.

    Attributes:
        in_flight_max: how many sagas may run at once (R20).

    """

    store: Store
    reader: Reader
    clock: Clock
    intake: Intake
    publisher: Publisher
    outages: Outages
    ladder: Ladder
    counts: Counter[str]
    in_flight_max: int


class Ownership(Protocol):
    """What the engine asks of it, in the order of its life."""

    @property
    def admission(self) -> Admission: ...

    @property
    def timers(self) -> Waits: ...

    @property
    def flush_ms(self) -> int: ...

    @property
    def has_news(self) -> bool:
        """Whether `attend` has something to do before the next batch."""
        ...

    @property
    def speaks_for_store(self) -> bool:
        """Whether this engine tells metrics of the whole store: of several one does, or sums would count twice."""
        ...

    async def begin(self, lifecycle: Lifecycle, /) -> list[OutboxRow]:
        """Take possession; what is to be published before anything else."""
        ...

    async def start_reading(self) -> None:
        """Begin to read, from where the store is."""
        ...

    async def attend(self) -> None:
        """Between two batches: what has changed hands meanwhile."""
        ...

    @property
    def full(self) -> bool:
        """Whether intake must pause, because too much is unpublished (I20)."""
        ...

    @property
    def must_write(self) -> bool:
        """Whether a batch is to be written although nothing has come."""
        ...

    async def count(self, paused: Paused) -> None:
        """Count anew what runs and what waits."""
        ...

    async def count_short(self, paused: Paused) -> None:
        """As `count`, when less was found than was thought to wait."""
        ...

    def published_by(self, topic: str, decided_at: int) -> int | None:
        """As `decide.PublishedBy`."""
        ...

    def prove(self, batch: Batch, decided: Decided | None) -> None:
        """Add to a batch what others must know."""
        ...

    def committed(self) -> None:
        """The batch was written."""
        ...

    def lost(self, error: ConflictError, /) -> None:
        """The batch was not."""
        ...

    async def stop(self) -> None:
        """Ask nothing any more."""
        ...

    async def end(self) -> None:
        """Everything is published that can be: let go."""
        ...


Owning = Callable[[Parts], Ownership]


class SoleOwner:
    """Nobody else writes the store, or reads for it."""

    flush_ms = FLUSH_MS
    has_news = False
    must_write = False
    speaks_for_store = True

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._drain = Drain(
            store=parts.store,
            reader=parts.reader,
            reply_topics=parts.intake.reply_topics,
            outages=parts.outages,
            counts=parts.counts,
        )
        self.timers = Timers(store=parts.store, drain=self._drain, publisher=parts.publisher)
        self.admission = Admission(parts.in_flight_max)

    @property
    def full(self) -> bool:
        return self._parts.publisher.full

    async def begin(self, _lifecycle: Lifecycle, /) -> list[OutboxRow]:
        return await self._parts.store.outbox()

    async def start_reading(self) -> None:
        parts = self._parts
        parts.intake.stored = await parts.store.offsets()
        await parts.reader.start(parts.intake.stored)

    async def attend(self) -> None:
        """There is never news."""

    async def count(self, paused: Paused) -> None:
        store, types = self._parts.store, paused.types
        self.admission.begin(
            await store.count_states(),
            await store.count_held(),
            paused_types=types,
            pending_of_them=await store.count_pending_of(types) if types else 0,
        )

    async def count_short(self, paused: Paused) -> None:
        await self.count(paused)

    def published_by(self, topic: str, decided_at: int) -> int | None:
        parts = self._parts
        if topic in parts.publisher.held_topics:
            return parts.store.now()  # not before now: the wait begins again
        oldest = parts.publisher.oldest_unpublished_at
        if oldest is not None and oldest <= decided_at:
            return None
        return max(parts.outages.ended_at, decided_at)

    def prove(self, batch: Batch, decided: Decided | None) -> None:
        """There is nobody to prove anything to."""

    def committed(self) -> None:
        """Nobody else counts."""

    def lost(self, _error: ConflictError, /) -> None:
        self._drain.undone()

    async def stop(self) -> None:
        await self._drain.stop()

    async def end(self) -> None:
        await self._parts.reader.stop()
