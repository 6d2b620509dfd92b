"""Partitions that were added to topics while they are read, and those of a topic that was made anew with fewer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.survey import NO_LEADER, Extent, Survey
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.telemetry import log

_log = log("widening")

GONE_MS = 30_000
"""Partitions never go, unless their topic was made anew; a broker that has slept may not know all of them yet."""

_RETRY_MS = 100


class Widening:
    """Compares the partitions that exist with those that are read.

    It looks on a connection of its own, beside the reading: an answer of one never waits for the other's.
    """

    def __init__(self, settings: KafkaSettings, topics: Iterable[str], clock: Clock) -> None:
        self._topics = tuple(topics)
        self._clock = clock
        self._survey = Survey(settings, clock=clock)
        self._looking: asyncio.Task[None] | None = None
        self._missed_at_ms: dict[TopicPartition, int] = {}
        self.added: dict[TopicPartition, int] = {}
        """Partitions that are not read, with their first offsets."""
        self.gone: frozenset[TopicPartition] = frozenset()
        """Partitions that are read and have not existed for GONE_MS."""

    async def stop(self) -> None:
        """Close the connection; what is being asked is not waited for."""
        if self._looking is not None:
            self._looking.cancel()
        await self._survey.close()

    def look(self, read: Collection[TopicPartition]) -> None:
        """Compare in the background; a look that fails is made up for by the next."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(read), name="consumer.widening")

    async def extents(self, topics: Collection[str], read: Collection[TopicPartition]) -> dict[TopicPartition, Extent]:
        """How far every partition of `topics` reaches that exists now.

        Raises:
            BrokerUnavailableError: not all of them answered within REQUEST_TIMEOUT_MS; it names one.

        """
        deadline = self._clock.monotonic_ms() + limits.REQUEST_TIMEOUT_MS
        while True:
            try:
                return await self._extents(topics, read)
            except BrokerUnavailableError:  # leaders move within seconds, and are asked for anew
                if self._clock.monotonic_ms() >= deadline:
                    raise
            await self._clock.sleep(_RETRY_MS)

    async def _extents(self, topics: Collection[str], read: Collection[TopicPartition]) -> dict[TopicPartition, Extent]:
        leaders = await self._survey.leaders(topics)
        unknown = sorted(set(topics) - {tp.topic for tp in leaders})
        if unknown:
            raise BrokerUnavailableError(f"the brokers do not know topic {unknown[0]}")
        await self._compare(leaders, [tp for tp in read if tp.topic in topics])
        for tp in self._missed_at_ms:
            if tp.topic in topics and tp not in self.gone:
                raise BrokerUnavailableError(f"the brokers do not know {tp.topic}[{tp.partition}] any more")
        return await self._survey.extents(leaders)

    async def _look(self, read: Collection[TopicPartition]) -> None:
        try:
            await self._compare(await self._survey.leaders(self._topics), read)
        except BrokerUnavailableError as error:
            _log.debug("widening.look_failed", error=str(error))

    async def _compare(self, leaders: Mapping[TopicPartition, int], read: Iterable[TopicPartition]) -> None:
        now_ms, topics = self._clock.monotonic_ms(), {tp.topic for tp in leaders}
        missed = {tp for tp in read if tp not in leaders and tp.topic in topics}
        others = {tp: at_ms for tp, at_ms in self._missed_at_ms.items() if tp.topic not in topics}
        self._missed_at_ms = others | {tp: self._missed_at_ms.get(tp, now_ms) for tp in missed}
        self.gone = frozenset(tp for tp, at_ms in self._missed_at_ms.items() if now_ms - at_ms >= GONE_MS)
        known = self.added.keys() | set(read)
        added = {tp: at for tp, at in leaders.items() if tp not in known and at != NO_LEADER}
        if added:
            self.added |= await self._survey.first_offsets(added)

    def forget(self, gone: Iterable[TopicPartition]) -> None:
        """Partitions that went are not read any more."""
        for tp in gone:
            self._missed_at_ms.pop(tp, None)
        self.gone = frozenset()
