"""Processes that die and come back. Their databases stay; everything else of them is gone, as after `kill -9`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from typing import Any

from kafka_saga.runtime.errors import BrokenStoreError, BrokerUnavailableError, StoreRefusedError
from kafka_saga.runtime.failpoints import arm
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.sql_values import Params
from kafka_saga.runtime.sqlite import InlineConnection, Row
from tests.simulation.broker import SimBroker

Start = Callable[["Incarnation"], Awaitable[None]]


class Crash(BaseException):
    """The process is killed here. No handler of ours may catch it."""


class InjectedStoreError(BrokenStoreError):
    """The store failed because chance said so; the process ends of it, as it should."""


class Disk:
    """One SQLite database that outlives its process."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def image(self) -> sqlite3.Connection:
        """A backup of it."""
        image = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.backup(image)
        return image

    def put_back(self, image: sqlite3.Connection) -> None:
        """Restore a backup."""
        image.backup(self.connection)

    def power_cycle(self) -> None:
        """What was not committed is gone."""
        if self.connection.in_transaction:
            self.connection.rollback()


class SimConnection(InlineConnection):
    """The production SQL, inline; useless once its process is dead."""

    def __init__(self, disk: Disk, incarnation: Incarnation) -> None:
        super().__init__(disk.connection)
        self._incarnation = incarnation

    async def execute(self, sql: str, params: Params = ()) -> int:
        self._incarnation.must_live()
        if sql.startswith("BEGIN"):
            self._incarnation.may_be_busy()
        return await super().execute(sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        self._incarnation.must_live()
        return await super().execute_many(sql, rows)

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        self._incarnation.must_live()
        return await super().fetch_all(sql, params)

    async def commit(self) -> None:
        self._incarnation.must_live()
        outcome = self._incarnation.commit_outcome()
        if outcome is False:
            await super().rollback()
        else:
            await super().commit()
        await self._incarnation.wait_for_disk()
        if outcome is not None:
            raise InjectedStoreError("the disk did not answer the commit")

    async def rollback(self) -> None:
        if not self._incarnation.dead:
            await super().rollback()

    async def close(self) -> None:
        """The disk stays."""


class Incarnation:
    """One life of a process."""

    def __init__(self, broker: SimBroker, on_crash: Callable[[str], None], reached: Counter[str]) -> None:
        self.lifecycle = Lifecycle()
        self.died = asyncio.Event()
        self.tasks: dict[asyncio.Task[Any], None] = {}  # in the order they began: a set would not repeat itself
        self._broker = broker
        self._on_crash = on_crash
        self._reached = reached
        self._crash = dict(broker.swarm.crash)

    @property
    def dead(self) -> bool:
        return self.died.is_set()

    def enter(self) -> None:
        """Make the current task, and every task begun by it, one of this process."""
        _lives.set(self)
        arm(self.at)

    def at(self, point: str) -> None:
        """Die here, if chance says so."""
        self.must_live()
        self._reached[point] += 1
        if self._broker.happens(self._crash.get(point, 0)):
            self.died.set()
            self._on_crash(point)
            raise Crash(point)

    def may_be_busy(self) -> None:
        """Somebody else holds the store's write lock for longer than we wait.

        Raises:
            InjectedStoreError: chance said so.

        """
        if self._broker.happens(self._broker.swarm.store_busy):
            self._broker.happened.append("store busy")
            raise InjectedStoreError("the store is busy")

    async def wait_for_disk(self) -> None:
        """A commit may take a while, in which its process does something else: here until it learns that it is done."""
        if self._broker.happens(self._broker.swarm.slow_commit):
            await self._broker.clock.sleep(self._broker.chance.randint(1, 30))
            self.must_live()

    def commit_outcome(self) -> bool | None:
        """What a commit with an unknown outcome did; None where it is an ordinary one."""
        if not self._broker.happens(self._broker.swarm.commit_unknown):
            return None
        done = self._broker.chance.random() < 0.5
        self._broker.happened.append("commit unknown, done" if done else "commit unknown, not done")
        return done

    def forget(self, task: asyncio.Task[Any]) -> None:
        """A task has ended; what a dead process's tasks died of is its death."""
        self.tasks.pop(task, None)
        if self.dead and not task.cancelled():
            task.exception()

    def must_live(self) -> None:
        """A dead process does nothing more, not even in its `finally`."""
        if self.dead:
            raise Crash("after death")


_lives: ContextVar[Incarnation | None] = ContextVar("lives", default=None)


def task_of_its_process(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """A task factory: a task belongs to the process that began it, and dies with it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    life = _lives.get()
    if life is not None:
        life.tasks[task] = None
        task.add_done_callback(life.forget)
    return task


class Process:
    """A process and its restarts."""

    def __init__(self, role: str, broker: SimBroker, disk: Disk, start: Start) -> None:
        self.role = role
        self.broker = broker
        self.disk = disk
        self.crashes: list[str] = []
        self.reached: Counter[str] = Counter()
        """How often its lives came to each failpoint."""
        self.failures: list[BaseException] = []
        self._start = start
        self._stopped = False
        self.alive = asyncio.Event()
        self.alive.set()
        self._incarnation: Incarnation | None = None

    async def run(self) -> None:
        """Live, die, come back, until stopped."""
        while not self._stopped:
            await self.alive.wait()
            self._incarnation = Incarnation(self.broker, self._on_crash, self.reached)
            await self._live(self._incarnation)
            self.disk.power_cycle()
            if not self._stopped:
                await self.broker.clock.sleep(self.broker.chance.choice(self.broker.swarm.restart_ms))

    def kill(self) -> None:
        """Die now, wherever it is, and stay away until `revive`."""
        self.alive.clear()
        if self._incarnation is not None:
            self._incarnation.died.set()
            self._on_crash("killed for a restore")

    def revive(self) -> None:
        """Come back."""
        self.alive.set()

    def restart(self) -> None:
        """Ask it to stop cleanly and come back."""
        if self._incarnation is not None:
            self._incarnation.lifecycle.stop()

    def stop(self) -> None:
        """Ask it to stop cleanly."""
        self._stopped = True
        self.restart()

    def _on_crash(self, point: str) -> None:
        self.crashes.append(point)
        self.disk.power_cycle()

    async def _live(self, incarnation: Incarnation) -> None:
        main = asyncio.create_task(self._main(incarnation), name=self.role)
        await asyncio.wait([main])
        error = main.exception()
        await self._end_tasks(incarnation)
        if isinstance(error, StoreRefusedError | BrokerUnavailableError):
            self.broker.happened.append("refused" if isinstance(error, StoreRefusedError) else "no broker at a start")
        elif error is not None and not isinstance(error, Crash | InjectedStoreError):
            self.failures.append(error)

    async def _main(self, incarnation: Incarnation) -> None:
        incarnation.enter()
        life = asyncio.create_task(self._start(incarnation), name=f"{self.role}.life")
        death = asyncio.create_task(incarnation.died.wait(), name=f"{self.role}.death")
        await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if incarnation.dead and not life.done():
            life.cancel()
            await asyncio.wait([life])
        if life.cancelled():
            return
        error = life.exception()
        failure = incarnation.lifecycle.failure
        if failure is not None and not isinstance(failure, Crash | InjectedStoreError):
            raise failure
        if error is not None:
            raise error

    async def _end_tasks(self, incarnation: Incarnation) -> None:
        while tasks := list(incarnation.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
