"""Operators beside a running engine: the real engine among fakes, on a real store, and acts sent into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.operations.acts.acting import meant_for, send, wait
from kafka_saga.orchestrator.operations.acts.following import Standing
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.port import QueuedAct, Store
from kafka_saga.orchestrator.store.postgres.tables import PostgresTables
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.orchestrator.store.tables import SqliteTables
from kafka_saga.runtime.sqlite import open_threaded
from kafka_saga.schemas.envelope import Outcome, Reason
from tests.contracts.postgres import opened
from tests.engine.world import Sent, StillClock, World

HELD = "saga orchestrator (process 1)"


@dataclass
class Pacer:
    """The operator's clock: while he waits, the engine goes on."""

    world: World
    turns: list[Callable[[], None]] = field(default_factory=list)
    """What happens meanwhile, one for each time he waits."""

    def now_ms(self) -> int:
        return self.world.clock.now_ms()

    def monotonic_ms(self) -> int:
        return self.world.clock.monotonic_ms()

    async def sleep(self, duration_ms: int) -> None:
        if self.turns:
            self.turns.pop(0)()
        await self.world.pass_time(duration_ms)


@dataclass
class Desk:
    """An operator, the store, and the engine that owns it."""

    world: World
    at: StoreLocation
    reader: StoreReader
    queue: ActQueue
    clock: Pacer
    holder: str | None = HELD
    _acts: int = 0

    def act(self, verb: EventKind, *, act_id: str = "", state: SagaState | None = None, **arguments: Any) -> Act:
        self._acts += 1
        expected = None if state is None else state.value
        identity = act_id or f"act-{self._acts}"
        return Act(identity, verb, "ann@desk", "told to", expected, arguments=arguments)

    async def send(self, act: Act, saga_id: str = "order-1") -> QueuedAct:
        queued = await meant_for(self.reader, act, saga_id)
        await send(self.queue, self.reader, [queued], self.clock.now_ms())
        return queued

    async def wait(self, queued: QueuedAct, *meanwhile: Callable[[], None], timeout_ms: int = 60_000) -> Standing:
        self.clock.turns = list(meanwhile)
        return await wait(self.reader, queued, clock=self.clock, timeout_ms=timeout_ms, holder=self.held_by)

    @property
    def schema(self) -> str:
        """What stands before a table's name."""
        return "saga." if isinstance(self.queue.tables, PostgresTables) else ""

    async def by_hand(self, sql: str) -> None:
        """What somebody with a SQL shell does."""
        tables = self.queue.tables
        assert isinstance(tables, PostgresTables | SqliteTables)
        await tables.connection.execute(sql)

    async def held_by(self) -> str | None:
        return self.holder

    def last(self, command_type: str) -> Sent:
        return self.world.sent(command_type)[-1]

    def answers(self, command_type: str, outcome: Outcome, **more: Any) -> Callable[[], None]:
        """The service answers the newest such command, when it is called."""

        def answer() -> None:
            self.world.answer(self.last(command_type), outcome, **more)

        return answer

    async def park(self, saga_id: str = "order-1", reason: Reason = Reason.REJECTED) -> None:
        """A saga whose payment is declined, and whose reservation cannot be released."""
        await self.world.begin(saga_id)
        for command, outcome, why in (
            ("reserveItems", Outcome.SUCCESS, None),
            ("chargePayment", Outcome.FAILURE, None),
            ("releaseItems", Outcome.FAILURE, reason),
        ):
            self.world.answer(self.last(command), outcome, reason=why)
            await self.world.turn(2)
        assert (await self.world.saga(saga_id)).state is SagaState.PARKED


@pytest.fixture(params=["sqlite", "postgres"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> StoreLocation:
    """Where the store is to be."""
    if request.param == "sqlite":
        return tmp_path / "orchestrator.db"
    return PostgresLocation(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def desk(at: StoreLocation) -> AsyncIterator[Desk]:
    clock = StillClock()
    store = await _opened(at, clock)
    world = await World(store, clock).start()
    reader, queue = await StoreReader.open(at), await ActQueue.open(at)
    yield Desk(world, at, reader, queue, Pacer(world))
    await reader.close()
    await queue.close()
    if not world.ended:
        await world.stop()
    await store.close()


async def _opened(at: StoreLocation, clock: StillClock) -> Store:
    """The store as the one who owns all of it has it."""
    if isinstance(at, Path):
        return await SqliteStore.create(await open_threaded(at), clock)
    store = await opened(at, clock)
    await store.members.join(Joining("a", "1.0", "order 1", window=1_000, lanes=1))
    store.members.own(Lanes(1, frozenset({0})))
    return store
