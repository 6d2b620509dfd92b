"""When a timer may fire (R21).

A timeout says "no reply came", and only that reading can justify it: the command must be known to be published,
and the reply topics must have been read to an end that was asked for after the deadline. While the broker is away
neither can be known, so nothing fires; afterwards the waits begin again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.outages import SLOW_MS, Outages
from kafka_saga.orchestrator.engine.publish import Publisher
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.ids import SagaRef

_log = log("timers")


class ReplyReader(Protocol):
    """What the timers need of the consumer."""

    async def end_offsets(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...
    async def positions(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...


class Timers:
    """Finds sagas whose timer has run out and may fire."""

    def __init__(
        self,
        *,
        store: Store,
        reader: ReplyReader,
        reply_topics: Iterable[str],
        publisher: Publisher,
        outages: Outages,
    ) -> None:
        self._store = store
        self._reader = reader
        self._reply_topics = tuple(reply_topics)
        self._publisher = publisher
        self._outages = outages
        self._next_wake_at: int | None = 0
        self._probe: asyncio.Task[Mapping[TopicPartition, int] | None] | None = None
        self._probe_began_at = 0
        self._drained_at = 0

    def __repr__(self) -> str:
        return f"Timers(next_wake_at={self._next_wake_at}, drained_at={self._drained_at})"

    @property
    def next_wake_at(self) -> int | None:
        """No timer runs out before this moment; None where none is set."""
        return self._next_wake_at

    def armed(self, wake_at: int | None) -> None:
        """A saga was committed that needs the timer at `wake_at`."""
        if wake_at is not None and (self._next_wake_at is None or wake_at < self._next_wake_at):
            self._next_wake_at = wake_at

    async def due(self, now: int) -> list[SagaRef]:
        """The sagas whose timer may fire now, oldest first. Call after a poll, before its records are decided."""
        if self._next_wake_at is None or self._next_wake_at > now or self._publishing_stalls(now):
            return []
        await self._drain(now)
        if self._drained_at < self._next_wake_at:
            return []
        due = await self._store.due(min(now, self._drained_at), BATCH_RECORDS_MAX)
        if len(due) < BATCH_RECORDS_MAX:
            self._next_wake_at = await self._store.next_wake_at()
        return due

    def undone(self) -> None:
        """A batch was rolled back: the replies that it had read are unread again (R69)."""
        self._drained_at = 0

    async def stop(self) -> None:
        """End the probe that may be under way."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait([self._probe])

    def _publishing_stalls(self, now: int) -> bool:
        oldest = self._publisher.oldest_unpublished_at
        return oldest is not None and now - oldest > SLOW_MS

    async def _drain(self, now: int) -> None:
        """Ask where the reply topics end, once per deadline, and note when they were read that far."""
        if self._probe is None:
            self._probe_began_at = now
            self._probe = asyncio.create_task(self._ends(), name="timers.probe")
        await asyncio.wait([self._probe], timeout=0.005)  # usually answered at once; else by a next batch
        if not self._probe.done():
            return
        ends, began_at = self._probe.result(), self._probe_began_at
        if ends is None:
            self._probe = None
            return
        positions = await self._reader.positions(self._reply_topics)
        if all(positions.get(tp, 0) >= end for tp, end in ends.items()):
            self._drained_at = began_at
            self._probe = None

    async def _ends(self) -> Mapping[TopicPartition, int] | None:
        began_at = self._store.now()
        try:
            ends = await self._reader.end_offsets(self._reply_topics)
        except BrokerUnavailableError as error:
            if not self._outages.is_on:
                _log.warning("timers.held", error=str(error), why="no broker, no timeouts")
            self._outages.began()
            return None
        # A broker that hung and then answered was away too: meanwhile nobody could reply.
        if self._outages.is_on or self._store.now() - began_at > SLOW_MS:
            self._outages.ended()
        return ends
