"""Readers of the store, kept open: opening one costs more than most questions (R24)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.owners import Owners
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sight import Sight
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import HTTP_READER_AGE_MS_MAX, HTTP_READERS_MAX


@dataclass(frozen=True, slots=True)
class _Idle:
    reader: StoreReader
    opened_at: int


class Readers:
    """At most `HTTP_READERS_MAX` readers of one store; whoever needs one more waits for its turn.

    A reader that met an error is not used again, and none is used for longer than `HTTP_READER_AGE_MS_MAX`: the store
    may have been restored, or its server started again, meanwhile.
    """

    def __init__(self, at: StoreLocation, clock: Clock, sight: Sight) -> None:
        self._at = at
        self._clock = clock
        self._sight = sight
        self._turns = asyncio.Semaphore(HTTP_READERS_MAX)
        self._idle: list[_Idle] = []
        self._owners: Owners | None = None
        self._closed = False

    @asynccontextmanager
    async def take(self) -> AsyncIterator[StoreReader]:
        """A reader for a few short questions.

        Raises:
            StoreUnavailableError: there is no store, or its server does not answer.
            StoreRefusedError: it is that of another version of this program.

        """
        async with self._turns:
            held = await self._open()
            try:
                yield held.reader
            except BaseException:
                await held.reader.close()
                raise
            if self._closed or self._is_old(held):
                await held.reader.close()
            else:
                self._idle.append(held)

    async def open_one(self) -> StoreReader:
        """A reader for somebody alone, who closes it.

        Raises:
            StoreUnavailableError: there is no store, or its server does not answer.

        """
        reader = await StoreReader.open(self._at, self._sight, self._owners)
        self._owners = reader.owners
        return reader

    async def close(self) -> None:
        """Close those that nobody uses; the others close when they are given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for held in idle:
            await held.reader.close()

    async def _open(self) -> _Idle:
        while self._idle:
            held = self._idle.pop()
            if not self._is_old(held):
                return held
            await held.reader.close()
        return _Idle(await self.open_one(), self._clock.monotonic_ms())

    def _is_old(self, held: _Idle) -> bool:
        return self._clock.monotonic_ms() - held.opened_at > HTTP_READER_AGE_MS_MAX
