"""One replica's object of a store in memory that several share: its life, its clock, its lanes, its rows in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.store.lives import Life
from kafka_saga.orchestrator.store.members import Horizon, Joining, Lanes, Peer, Sums
from kafka_saga.orchestrator.store.memory_server import MemoryServer
from kafka_saga.orchestrator.store.port import (
    Batch,
    Known,
    Loss,
    Meaning,
    Outage,
    OutboxId,
    OutboxRow,
    QueuedAct,
    Registered,
    UnreadableAct,
)
from kafka_saga.orchestrator.store.retention import Purged, PurgeStep, QueuedPurge
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import UNWRITTEN, BrokenStoreError, ConflictError, StoreUnavailableError
from kafka_saga.schemas.ids import SagaRef

LOCK_WAIT_MS = 5_000
"""So long a batch that has conflicted waits for the rows it wants (R67)."""

RECONNECT_MS = (50, 2_000)
"""Rests between two attempts to reach the server, the first and the longest."""

CLOCK_BEATS = 10
"""The fastest of so many answers sets the clock (R64)."""

_ALL = 1_000_000
_T = TypeVar("_T")


class SharedMemoryStore:
    """`SharedStore` over a `MemoryServer`."""

    def __init__(self, server: MemoryServer, clock: Clock) -> None:
        self._server = server
        self._truth = server.truth
        self._clock = clock
        self._now = 0
        self._offsets_ms: deque[tuple[int, int]] = deque(maxlen=CLOCK_BEATS)
        self._newest = 0
        self._settings = 0
        self._batch = 0
        self._holder: object = None
        self.kept: dict[SagaRef, Known] = {}
        """Rows of our lanes that were read or written since these are ours (R66)."""
        self.owned = Lanes()
        self.members = MemoryMembers(self)

    async def ask(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """One question to the server, and its answer; the simulator puts a network between them.

        Raises:
            StoreUnavailableError: no answer came; it may have been done.

        """
        return await work()

    async def asked(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """As `ask`, but for what may be done twice: again until there is an answer."""
        rest_ms, longest_ms = RECONNECT_MS
        while True:
            try:
                return await self.ask(work)
            except StoreUnavailableError:
                await self._clock.sleep(rest_ms)
                rest_ms = min(longest_ms, 2 * rest_ms)

    @property
    def store_id(self) -> str:
        return self._truth.store_id

    def now(self) -> int:
        """Never ahead of the server's clock, and never back (R64)."""
        behind = max((offset_ms for _, offset_ms in self._offsets_ms), default=0)
        self._now = max(self._now, self._newest, self._clock.monotonic_ms() + behind)
        return self._now

    async def set_clock(self) -> None:
        """Compare clocks: the server's has gone on since it was read, so ours is never ahead."""
        began_ms = self._clock.monotonic_ms()
        theirs, newest = await self.ask(lambda: _at_once(self._server.clock()))
        ended_ms = self._clock.monotonic_ms()
        self._offsets_ms.append((ended_ms - began_ms, theirs - ended_ms))
        self._newest = max(self._newest, newest)

    def forget(self) -> None:
        """Drop every row in memory."""
        self.kept.clear()

    async def load(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Known]:
        wanted = list(refs)
        found = {ref: self.kept[ref] for ref in wanted if ref in self.kept}
        missing = [ref for ref in wanted if ref not in found]
        if missing:
            read = await self.asked(lambda: self._truth.load(missing))
            for known in read.values():
                self._keep(known)
            found |= read
        return found

    async def pending(self, limit: int, paused_types: Collection[str] = ()) -> list[SagaRef]:
        refs = await self.asked(lambda: self._truth.pending(_ALL, paused_types))
        return self._mine(refs, limit)

    async def due(self, now: int, limit: int) -> list[SagaRef]:
        return self._mine(await self.asked(lambda: self._truth.due(now, _ALL)), limit)

    async def next_wake_at(self) -> int | None:
        return await self.asked(self._truth.next_wake_at)

    async def waiting_acts(self, limit: int) -> list[QueuedAct | UnreadableAct]:
        return await self.asked(lambda: self._server.acts(self.owned, limit, self.now()))

    @asynccontextmanager
    async def locked(self, refs: Iterable[SagaRef], /) -> AsyncIterator[None]:
        """Until the commit inside it: nobody else changes these sagas, and `load` reads them anew (R67)."""
        wanted, holder = list(refs), object()
        waits_until_ms = self._clock.monotonic_ms() + LOCK_WAIT_MS
        self.forget()
        try:
            while not await self.asked(lambda: _at_once(self._server.lock(wanted, holder))):
                if self._clock.monotonic_ms() >= waits_until_ms:
                    raise ConflictError("others hold these sagas for too long", what="sagas")
                await self._clock.sleep(RECONNECT_MS[0])
            self._holder = holder
            yield
        finally:
            self._holder = None
            self._server.unlock(holder)

    async def commit(self, batch: Batch) -> OutboxId | None:
        replica, settings, kept, holder = self.members.replica, self._settings, dict(self.kept), self._holder

        async def work() -> tuple[OutboxId | None, Sums, dict[SagaRef, Known]]:
            row = await self._server.commit(replica, settings, kept, batch, holder)
            return row, self._server.sums(), await self._truth.load(one.saga.ref for one in batch.started)

        try:
            row, self.members.sums, started = await self.ask(work)
        except StoreUnavailableError:
            self.forget()
            row, started = await self._after_doubt(batch), {}
        except BaseException:
            self.forget()
            raise
        self._batch += 1
        self._settings += bool(batch.pauses or batch.lanes)
        self.members.lanes = batch.lanes or self.members.lanes
        for change in batch.changed:
            known = self.kept.pop(change.saga.ref, None)
            if known is not None:
                self._keep(Known(change.saga, known.request_hash))
        for known in started.values():
            self._keep(known)
        return row

    async def _after_doubt(self, batch: Batch) -> OutboxId | None:
        """No answer came to a commit: what became of it (R68).

        Raises:
            ConflictError: it was not done, or our life is over.
            BrokenStoreError: the server has lost what it had acknowledged.

        """
        replica = self.members.replica
        done = await self.asked(lambda: _at_once(self._server.batches(replica)))
        if done < self._batch:
            raise BrokenStoreError("the server lost commits that it had acknowledged: restore the store")
        if done == self._batch:
            raise ConflictError("the commit was not done", what=UNWRITTEN)
        return OutboxId(replica, done) if batch.messages else None

    async def outbox(self) -> list[OutboxRow]:
        return await self.asked(self._server.outbox)

    async def outage(self) -> Outage:
        return await self.asked(lambda: _at_once(self._server.outage(self.members.replica)))

    async def life(self) -> Life:
        return await self.asked(self._truth.life)

    async def offsets(self) -> dict[TopicPartition, int]:
        return await self.asked(self._truth.offsets)

    async def losses(self) -> list[Loss]:
        return await self.asked(self._truth.losses)

    async def count_states(self) -> dict[SagaState, int]:
        return await self.asked(self._truth.count_states)

    async def pauses(self) -> dict[str, Pause]:
        self._settings, self.members.lanes, pauses = await self.asked(self._server.settings)
        return dict(pauses)

    async def held(self, scope: str, limit: int) -> list[SagaRef]:
        return self._mine(await self.asked(lambda: self._truth.held(scope, _ALL)), limit)

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        return await self.asked(self._truth.count_held)

    async def count_pending_of(self, saga_types: Collection[str]) -> int:
        return await self.asked(lambda: self._truth.count_pending_of(saga_types))

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        return await self.asked(self._truth.unfinished_versions)

    async def unfinished_of(self, saga_type: str, version: int, limit: int) -> list[SagaRef]:
        return await self.asked(lambda: self._truth.unfinished_of(saga_type, version, limit))

    async def register(self, definitions: Sequence[Registered]) -> Mapping[tuple[str, int], Meaning]:
        return await self.asked(lambda: self._truth.register(definitions))

    async def load_purged(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
        wanted = list(refs)
        return await self.asked(lambda: self._truth.load_purged(wanted))

    async def waiting_purges(self) -> list[QueuedPurge]:
        return await self.asked(self._truth.waiting_purges)

    async def purge(self, queued: QueuedPurge, rows_max: int) -> PurgeStep:
        return await self.asked(lambda: self._truth.purge(queued, rows_max))

    async def forget_purged(self, before: int, rows_max: int) -> int:
        return await self.asked(lambda: self._truth.forget_purged(before, rows_max))

    async def forget_acts(self, before: int, from_key: int, rows_max: int) -> PurgeStep:
        return await self.asked(lambda: self._truth.forget_acts(before, from_key, rows_max))

    async def tidy(self) -> bool:
        return True

    def held_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        """The server stays."""

    def begin(self, replica: int, sums: Sums) -> None:
        """A new life: nothing of the one before holds."""
        self.forget()
        self._batch = 0
        self.members.replica, self.members.sums = replica, sums

    def _mine(self, refs: Iterable[SagaRef], limit: int) -> list[SagaRef]:
        return [ref for ref in refs if self.owned.has(ref)][:limit]

    def _keep(self, known: Known) -> None:
        if known.saga.state not in TERMINAL and self.owned.has(known.saga.ref):
            self.kept[known.saga.ref] = known


class MemoryMembers:
    """`Members`."""

    def __init__(self, store: SharedMemoryStore) -> None:
        self._store = store
        self._server = store._server  # noqa: SLF001 -- one object in two parts
        self._follows: set[int] = set()
        """Ended lives whose rows were handed out."""
        self.replica = 0
        self.sums = Sums()
        self.lanes = 1

    async def join(self, joining: Joining) -> None:
        self._follows.clear()
        replica = await self._store.asked(lambda: self._server.join(joining))
        self._store.begin(replica, self._server.sums())
        await self._store.asked(self._set_clock)
        await self._store.pauses()

    async def beat(self, window: int) -> tuple[Peer, ...]:
        peers = await self._store.ask(lambda: _at_once(self._server.beat(self.replica, window)))
        self.sums = self._server.sums()
        await self._set_clock()
        return peers

    async def bury(self, peer: Peer) -> bool:
        return await self._store.ask(lambda: _at_once(self._server.bury(self.replica, peer)))

    async def leave(self) -> None:
        await self._store.ask(self._leave)

    async def inherit(self) -> list[OutboxRow]:
        left = await self._store.asked(lambda: self._server.inherit(self.replica, self._follows))
        self._follows |= left.keys()
        return [row for _, rows in sorted(left.items()) for row in rows]

    async def withhold(self, rows: Mapping[OutboxId, str]) -> None:
        async def mark() -> None:
            self._server.withhold(rows)

        await self._store.asked(mark)

    async def horizon(self) -> Horizon:
        return await self._store.asked(self._server.horizon)

    def own(self, lanes: Lanes) -> None:
        self._store.owned = lanes
        self._store.forget()

    async def _leave(self) -> None:
        self._server.leave(self.replica)

    async def _set_clock(self) -> None:
        await self._store.set_clock()


async def _at_once(answer: _T) -> _T:
    return answer
