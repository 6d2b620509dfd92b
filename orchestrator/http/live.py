"""What changes, for everybody who looks on: the store is asked once for all of them, and not at all for nobody."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.orchestrator.http.readers import Readers
from kafka_saga.orchestrator.operations.sagas.changes import Changes
from kafka_saga.orchestrator.operations.sagas.listing import summary
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError, UnavailableError
from kafka_saga.runtime.live_limits import (
    LIVE_CHANGES_KEPT,
    LIVE_CLIENTS_MAX,
    LIVE_LOOK_MS,
    LIVE_LOOK_SHARE,
    LIVE_MS_MAX,
    LIVE_WAITERS_MAX,
)
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.ids import SagaRef

_log = log("http")


class TooManyClientsError(UnavailableError):
    """As many look on already as this server has room for: close a page, or try again."""

    code = "too_many_streams"


@dataclass(frozen=True, slots=True)
class Change:
    """A saga that has changed.

    Attributes:
        number: counts changes, from 1.
        summary: as a list shows it.

    """

    number: int
    ref: SagaRef
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """What a follower has not been told yet.

    Attributes:
        changes: oldest first.
        missed: whether others are lost to him, so that he must look for himself.
        position: how far he is then.

    """

    changes: Sequence[Change]
    missed: bool
    position: int


@dataclass(slots=True)
class Live:
    """Looks for changes while somebody follows.

    A change is seen within `LIVE_LOOK_MS`, or later where the looks themselves would take more than one part in
    `LIVE_LOOK_SHARE` of the time; but within `LIVE_MS_MAX`.

    Args:
        readers: the store's.
        clock: paces the looks.
        ending: set when the server ends: followers are told by an end of their news.
        epoch: tells this server's numbers from those of another.

    """

    readers: Readers
    clock: Clock
    ending: asyncio.Event
    epoch: str
    newest: int = 0
    followers: int = 0
    waiters: int = 0
    _kept: deque[Change] = field(default_factory=lambda: deque(maxlen=LIVE_CHANGES_KEPT))
    _missed_before: int = 0
    _named: Counter[SagaRef] = field(default_factory=Counter)
    _marks: dict[SagaRef, int] = field(default_factory=dict)
    _looked: asyncio.Event = field(default_factory=asyncio.Event)
    _looking: asyncio.Task[None] | None = None

    def check_room(self) -> None:
        """Refuse whoever would be one too many.

        Raises:
            TooManyClientsError: as many follow as may.

        """
        if self.followers >= LIVE_CLIENTS_MAX:
            raise TooManyClientsError

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[Live]:
        """Have the store looked at while the block runs.

        Raises:
            TooManyClientsError: as many follow as may.

        """
        self.check_room()
        self.followers += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(), name="live")
        try:
            yield self
        finally:
            self.followers -= 1
            if not self.followers and self._looking is not None:
                self._looking.cancel()
                self._looking = None
                self._missed_before = self.newest  # what changes while nobody looks is not seen

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places that all who wait share, for somebody who looks by himself.

        Raises:
            TooManyClientsError: none is free.

        """
        if self.waiters >= LIVE_WAITERS_MAX:
            raise TooManyClientsError
        self.waiters += 1
        try:
            yield
        finally:
            self.waiters -= 1

    def since(self, position: int) -> News:
        """What came after `position`, which an earlier answer had."""
        missed = position < self._missed_before or position > self.newest
        changes = [change for change in self._kept if change.number > position] if not missed else []
        return News(changes, missed, self.newest)

    async def next_look(self, timeout_ms: int) -> bool:
        """Wait for the next look; whether there was one. False too when the server ends."""
        looked = asyncio.ensure_future(self._looked.wait())
        ending = asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait({looked, ending}, timeout=timeout_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
            return looked.done() and not self.ending.is_set()
        finally:
            looked.cancel()
            ending.cancel()

    @asynccontextmanager
    async def naming(self, ref: SagaRef) -> AsyncIterator[Callable[[], int | None]]:
        """Follow one saga, however old it is; the function tells how far it had come at the last look."""
        async with self.follow():
            self._named[ref] += 1
            try:
                yield lambda: self._marks.get(ref)
            finally:
                self._named[ref] -= 1
                if not self._named[ref]:
                    del self._named[ref]
                    self._marks.pop(ref, None)

    async def _look_on(self) -> None:
        changes = Changes()
        while True:
            began = self.clock.monotonic_ms()
            try:
                await self._look(changes)
            except SagaError as error:
                _log.warning("http.live_failed", error=str(error))
                changes = Changes()
                self._missed_before = self.newest = self.newest + 1  # who looks for himself may find out more
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            took = self.clock.monotonic_ms() - began
            await self.clock.sleep(min(LIVE_MS_MAX, max(LIVE_LOOK_MS, took * LIVE_LOOK_SHARE)))

    async def _look(self, changes: Changes) -> None:
        async with self.readers.take() as reader:
            look = await changes.look(reader, list(self._named))
        now = self.clock.now_ms()
        self._marks = look.marks
        if look.left_out:
            self._missed_before = self.newest = self.newest + 1
        for saga in reversed(look.sagas):
            self.newest += 1
            self._kept.append(Change(self.newest, saga.ref, summary(saga, now)))
        if len(self._kept) == self._kept.maxlen:
            self._missed_before = max(self._missed_before, self._kept[0].number - 1)
