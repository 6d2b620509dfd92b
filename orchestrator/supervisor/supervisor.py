"""Keeps programs running: a dead one is started again, after a wait that grows while it keeps dying."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.supervisor.child import Child, Program, Tell, how_it_ended
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError

BACKOFF_MS_FIRST = 500
BACKOFF_MS_MAX = 15_000
HEALTHY_MS = 10_000
"""Who was ready and lived this long does not "keep dying"; its next restart is at once."""

DEATHS_MANY = 3
"""From here on we say that a process keeps dying."""

STOP_TIMEOUT_S = 15.0
"""Longer than a client of ours waits for a broker that is away, so that a clean stop is what usually happens."""

_HOPELESS = frozenset({2, 4})
"""Exit codes that starting again does not change: a wrong setting, and a refusal (see `kafka_saga.runtime.errors`)."""


class GaveUpError(SagaError):
    """A process cannot run here."""

    code = "gave_up"

    def __init__(self, name: str, exit_code: int, last_error: str) -> None:
        """`last_error` is the process's own word on it."""
        super().__init__(f"{name} cannot run: {last_error.removeprefix('saga: ') or how_it_ended(exit_code)}")
        self.exit_code = exit_code  # type: ignore[misc] # the child's own, which says what kind of mistake it is


@dataclass(frozen=True, slots=True)
class Death:
    """A process ended that should be running."""

    name: str
    pid: int
    how: str
    last_error: str
    deaths: int
    """In a row, without having worked for a while in between."""
    restart_in_ms: int


Mourn = Callable[[Death], None]


class Supervisor:
    """Runs programs until `stop`."""

    def __init__(self, *, clock: Clock, tell: Tell, mourn: Mourn) -> None:
        """`tell` gets every line that a program writes, `mourn` every death."""
        self._clock = clock
        self._tell = tell
        self._mourn = mourn
        self._children: dict[str, Child] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, programs: Sequence[Program]) -> None:
        """Start `programs`, and keep them running."""
        self._ready.update({program.name: asyncio.Event() for program in programs})
        for program in programs:
            ready = self._ready[program.name]
            self._children[program.name] = await Child.start(program, self._tell, ready)
            self._keepers.append(asyncio.create_task(self._keep(program, ready), name=f"keeper of {program.name}"))

    def child(self, name: str) -> Child:
        """The latest run of the program called `name`."""
        return self._children[name]

    async def all_ready(self) -> None:
        """Wait until every program works.

        Raises:
            GaveUpError: one of them cannot run here.

        """
        waiting = asyncio.create_task(self._every_ready())
        try:
            either: set[asyncio.Future[Any]] = {waiting, self._failed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._failed.done():
            self._failed.result()

    async def failed(self) -> None:
        """Wait until a program cannot run.

        Raises:
            GaveUpError: then.

        """
        await asyncio.shield(self._failed)

    async def stop(self) -> list[str]:
        """Stop the program that was started first, then the others; the names of those that had to be killed."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        if self._keepers:
            await asyncio.wait(self._keepers)
        if not self._failed.cancel() and not self._failed.cancelled():
            self._failed.exception()  # it was seen, or no longer matters
        names = list(self._children)
        stopped = [await self._stop(name) for name in names[:1]]
        stopped += await asyncio.gather(*(self._stop(name) for name in names[1:]))
        return [name for name, cleanly in zip(names, stopped, strict=True) if not cleanly]

    def kill(self) -> None:
        """End all programs at once."""
        self._stopping = True
        for child in self._children.values():
            child.kill()

    async def _every_ready(self) -> None:
        for ready in self._ready.values():
            await ready.wait()

    async def _stop(self, name: str) -> bool:
        return await self._children[name].stop(STOP_TIMEOUT_S)

    async def _keep(self, program: Program, ready: asyncio.Event) -> None:
        deaths = 0
        while True:
            child = self._children[program.name]
            started_ms = self._clock.monotonic_ms()
            code = await child.ended()
            if self._stopping:
                return
            if ready.is_set() and self._clock.monotonic_ms() - started_ms >= HEALTHY_MS:
                deaths = 0
            if code in _HOPELESS and not ready.is_set():
                self._give_up(GaveUpError(program.name, code, child.last_error))
                return
            ready.clear()
            wait_ms = backoff_ms(deaths)
            deaths += 1
            self._mourn(Death(program.name, child.pid, how_it_ended(code), child.last_error, deaths, wait_ms))
            await self._clock.sleep(wait_ms)
            self._children[program.name] = await Child.start(program, self._tell, ready)

    def _give_up(self, error: GaveUpError) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)


def backoff_ms(deaths: int) -> int:
    """How long to wait after the first death and `deaths` more: nothing at first, then 0.5 s, 1 s, 2 s … 15 s."""
    return 0 if deaths == 0 else int(min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** (min(deaths, 20) - 1)))
