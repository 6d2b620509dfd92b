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
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, Changed, QueuedAct, Started, Store
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import QueuedPurge
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.orchestrator.store.statements import SQL
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


@dataclass
class InSqlite(Subject):
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

    async def queue_act(self, queued: QueuedAct) -> None:
        act, ref = queued.act, queued.ref
        row = (act.act_id, *ref, act.verb.value, encode(act.arguments).decode(), act.actor, act.reason)
        outside = await open_inline(self.path)
        async with transaction(outside):
            await outside.execute(SQL["insert_act"], (*row, act.expected_state, act.expected_version, NOW))
        await outside.close()

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        outside = await open_inline(self.path)
        [(outcome, message, _)] = await outside.fetch_all(SQL["act"], (act_id,))
        await outside.close()
        return None if outcome is None else ActOutcome(act_id, outcome, message)

    async def queue_purge(self, queued: QueuedPurge) -> None:
        outside = await open_inline(self.path)
        await purging.queue(outside, queued, "ops", NOW)
        await outside.close()

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        reader = await StoreReader.open(self.path)
        try:
            return await reader.log(await reader.find(ref.saga_id, ref.saga_type))
        except NotFoundError:
            return []
        finally:
            await reader.close()


async def open_subject(kind: str, folder: Path) -> Subject:
    if kind == "memory":
        return InMemory()
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
