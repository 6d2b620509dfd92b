"""An event loop whose time is a number: when nothing is ready it jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping

START_MS = 1_800_000_000_000


class _NoWaiting(selectors.BaseSelector):
    """Instead of waiting for files, moves the loop's clock. There are no files in a simulation."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()  # type: ignore[attr-defined] # socket
        key = selectors.SelectorKey(fileobj, number, events, data)  # type: ignore[arg-type] # as the base class
        self._keys[number] = key
        return key

    def unregister(self, fileobj: object) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()  # type: ignore[attr-defined] # socket
        return self._keys.pop(number)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set: the simulated world has stopped")
        self.now_s += max(0.0, timeout)
        return []

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:  # type: ignore[override] # by number is enough
        return self._keys


class DeadlockError(Exception):
    """Every task waits for another."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`asyncio`, deterministic: ready callbacks run in order, and waiting takes no time."""

    def __init__(self) -> None:
        self._no_waiting = _NoWaiting()
        super().__init__(self._no_waiting)

    def time(self) -> float:
        return self._no_waiting.now_s


class SimClock:
    """The `Clock` port in virtual time. The wall clock can be made to jump; the monotonic one cannot."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset_ms = 0

    def now_ms(self) -> int:
        return START_MS + round(self._loop.time() * 1000) + self.offset_ms

    def monotonic_ms(self) -> int:
        return round(self._loop.time() * 1000)

    async def sleep(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)  # noqa: TID251 -- the port itself
