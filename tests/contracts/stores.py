"""The stores under contract, and sagas to put into them.

What operators do from outside (queue an act, read a log) has no place in the port; `Subject` does it for each adapter
in the adapter's own way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.orchestrator.machine.decision import Decision, LogEntry
from kafka_saga.orchestrator.machine.events import Act, Admitted, Event, Replied
from kafka_saga.orchestrator.machine.saga import Saga, accepted
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store import purging
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.memory_server import MemoryServer
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, Changed, QueuedAct, Started, Store
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import Asker, QueuedPurge
from kafka_saga.orchestrator.store.shared_memory import SharedMemoryStore
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.orchestrator.store.tables import SqliteTables, Tables
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.sqlite import SqlConnection, open_inline, open_threaded, transaction
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase, SagaRef

NOW = 1_700_000_000_000
REQUEST = {
    "order_id": "order-1",
    "customer_id": "c-1",
    "items": [{"sku": "lamp", "quantity": 2}],
    "amount": 4_990,
    "currency": "EUR",
}
HASH = bytes(range(32))


class SetClock:
    """A wall clock that shows what it is set to, while no time passes; a sleep moves it."""

    def __init__(self, at_ms: int = NOW) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return 0

    async def sleep(self, duration_ms: int) -> None:
        self.at_ms += duration_ms


class Subject(ABC):
    """A store under test."""

    store: Store

    def __init__(self) -> None:
        self.clock = SetClock()

    @abstractmethod
    async def queue_act(self, queued: QueuedAct) -> None:
        """An operator queues a verb."""

    @abstractmethod
    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        """The operator looks what became of it."""

    @abstractmethod
    async def queue_purge(self, queued: QueuedPurge) -> None:
        """An operator asks for a purge."""

    @abstractmethod
    async def log(self, ref: SagaRef) -> list[LogEntry]:
        """The operator reads a saga's log; empty where there is no such saga."""


class Durable(Subject):
    """A store that outlives its process."""

    @abstractmethod
    async def reopen(self) -> None:
        """The process stops, and another one starts."""

    @abstractmethod
    async def note_definition(self, version: int, fingerprint: str) -> None:
        """A program that knew no descriptions notes a definition of `order`."""


class InMemory(Subject):
    def __init__(self) -> None:
        super().__init__()
        self.store: MemoryStore = MemoryStore(self.clock)

    async def queue_act(self, queued: QueuedAct) -> None:
        await self.store.queue_act(queued)

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        return await self.store.act_outcome(act_id)

    async def queue_purge(self, queued: QueuedPurge) -> None:
        await self.store.queue_purge(queued)

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        return await self.store.log(ref)


class InSharedMemory(InMemory):
    """One replica of several; alone here, and the owner of every lane."""

    async def open(self) -> InSharedMemory:
        self._truth = self.store
        shared = SharedMemoryStore(MemoryServer(self._truth), self.clock)
        await shared.members.join(Joining("a", "1.0", "order 1", window=1_000, lanes=1))
        shared.members.own(Lanes(1, frozenset({0})))
        self.store = shared  # type: ignore[assignment] -- what is beside the port is asked of the truth
        return self

    async def queue_act(self, queued: QueuedAct) -> None:
        await self._truth.queue_act(queued)

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        return await self._truth.act_outcome(act_id)

    async def queue_purge(self, queued: QueuedPurge) -> None:
        await self._truth.queue_purge(queued)

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        return await self._truth.log(ref)


@dataclass
class InSqlite(Durable):
    path: Path
    open_connection: Callable[[Path], Awaitable[SqlConnection]]

    def __post_init__(self) -> None:
        super().__init__()

    async def open(self) -> InSqlite:
        self.store = await SqliteStore.create(await self.open_connection(self.path), self.clock)
        return self

    async def reopen(self) -> None:
        await self.store.close()
        await self.open()

    async def note_definition(self, version: int, fingerprint: str) -> None:
        outside = await open_inline(self.path)
        async with transaction(outside):
            old = "INSERT INTO definitions (saga_type, version, fingerprint) VALUES ('order', ?, ?)"
            await outside.execute(old, (version, fingerprint))
        await outside.close()

    async def queue_act(self, queued: QueuedAct) -> None:
        act, ref = queued.act, queued.ref
        row = (act.act_id, *ref, act.verb.value, encode(act.arguments).decode(), act.actor, act.reason)
        outside = await open_inline(self.path)
        async with transaction(outside):
            await outside.execute(SQL["insert_act"], (*row, act.expected_state, act.expected_version, NOW))
        await outside.close()

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        outside = await open_inline(self.path)
        found = await outside.fetch_all(SQL["act"], (act_id,))
        await outside.close()
        outcome, message, _ = found[0] if found else (None, "", None)
        return None if outcome is None else ActOutcome(act_id, outcome, message)

    async def queue_purge(self, queued: QueuedPurge) -> None:
        outside = await open_inline(self.path)
        await purging.queue(SqliteTables(outside), queued, Asker("ops", "old"), NOW)
        await outside.close()

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        reader = await StoreReader.open(self.path)
        try:
            return await reader.log(await reader.find(ref.saga_id, ref.saga_type))
        except NotFoundError:
            return []
        finally:
            await reader.close()


def connection_of(tables: Tables) -> SqlConnection:
    """The SQLite connection below a reader or a queue, for what no statement of ours does."""
    assert isinstance(tables, SqliteTables)
    return tables.connection


async def open_subject(kind: str, folder: Path) -> Subject:
    if kind == "memory":
        return InMemory()
    if kind == "memory shared":
        return await InSharedMemory().open()
    return await InSqlite(folder / "store.db", open_threaded if kind == "sqlite threaded" else open_inline).open()


def new_saga(saga_id: str = "order-1", now: int = NOW) -> Saga:
    """A saga as its request makes it."""
    document = {**REQUEST, "order_id": saga_id}
    return accepted(order_saga, SagaRef("order", saga_id), document, len(encode(document)), now)


def decided(saga: Saga, event: Event, now: int = NOW) -> Decision:
    result = advance(order_saga, saga, event, now)
    assert isinstance(result, Decision), result
    return result


def success(step: str, **body: str) -> Replied:
    return Replied(step, Phase.FORWARD, 1, Outcome.SUCCESS, body=body, body_bytes=len(encode(body)))


def rejection(step: str, error: str) -> Replied:
    return Replied(step, Phase.FORWARD, 1, Outcome.FAILURE, body={"error": error})


async def start(store: Store, *sagas: Saga) -> None:
    """Commit `sagas` as new ones."""
    await store.commit(Batch(NOW, started=[Started(saga, HASH) for saga in sagas]))


async def stored(store: Store, saga_id: str = "order-1") -> Saga:
    ref = SagaRef("order", saga_id)
    return (await store.load([ref]))[ref].saga


async def move(store: Store, event: Event, saga_id: str = "order-1", now: int = NOW) -> Saga:
    """Read a saga, let `event` happen to it, and commit that; the saga after it."""
    before = await stored(store, saga_id)
    decision = decided(before, event, now)
    log = [(before.ref, entry) for entry in decision.log]
    await store.commit(Batch(now, changed=[Changed(decision.saga, before.version)], log=log))
    return decision.saga


async def start_running(store: Store, saga_id: str = "order-1", now: int = NOW) -> Saga:
    """A saga whose first command is sent."""
    await start(store, new_saga(saga_id, now))
    return await move(store, Admitted(), saga_id, now)


async def finish(store: Store, saga_id: str = "order-1", now: int = NOW) -> Saga:
    """A saga whose first step is refused: it ends at once, COMPENSATED."""
    await start_running(store, saga_id, now)
    return await move(store, rejection("reserve_inventory", "sold out"), saga_id, now)


def cancel(act_id: str, saga_id: str = "order-1", **more: object) -> QueuedAct:
    act = Act(act_id, EventKind.CANCEL, "ops", "customer called", **more)  # type: ignore[arg-type] -- Act's own fields
    return QueuedAct(act, SagaRef("order", saga_id))
