"""Time and identity as ports: production reads the machine's, the simulator brings its own."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and waiting for it to pass."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970 (UTC). It may jump; a store clamps it (R27)."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds that only grow: for measuring durations inside one process."""
        ...

    async def sleep(self, duration_ms: int) -> None:
        """Wait for `duration_ms` milliseconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)


class ForwardClock:
    """A store's clock (R27): the wall clock, but it never goes back and never stands still.

    Where the wall clock is behind what was seen already (it was set back, or another machine's was ahead), time
    goes on at the pace of the monotonic clock instead: a frozen clock would hold every timer for as long.
    """

    def __init__(self, clock: Clock, newest_ms: int) -> None:
        self._clock = clock
        self._newest_ms = newest_ms
        self._read_at_ms = clock.monotonic_ms()

    def now_ms(self) -> int:
        """Milliseconds since 1970, at least as many as at the last call."""
        read_at_ms = self._clock.monotonic_ms()
        self._newest_ms = max(self._clock.now_ms(), self._newest_ms + read_at_ms - self._read_at_ms)
        self._read_at_ms = read_at_ms
        return self._newest_ms


def new_id() -> str:
    """A fresh, unguessable id of 32 hexadecimal characters, for stores, acts and processes."""
    return os.urandom(16).hex()


def chance() -> float:
    """A fresh number from 0 up to 1, so that those who wait for each other do not wait equally long."""
    return int.from_bytes(os.urandom(6)) / 2**48


def rfc3339(at_ms: int) -> str:
    """`at_ms` as people and CloudEvents write it: `2026-11-23T10:42:07.123Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


async def rest(ending: asyncio.Event, clock: Clock, duration_ms: int) -> None:
    """Wait for `duration_ms`, or until `ending` is set."""
    waits = [asyncio.ensure_future(clock.sleep(duration_ms)), asyncio.ensure_future(ending.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
