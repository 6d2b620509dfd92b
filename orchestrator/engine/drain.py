"""Up to which moment the reply topics were read to their end (R21).

The end is the brokers' own: the high watermark of every partition that exists when it is asked for. Whatever keeps a
record that is in a topic from being read, keeps this moment from coming: an outage, a partition without a leader or
one that was added just now, a slow fetch, an open transaction of another producer, a topic made anew whose position
is not yet given up. What lasts is said in the log, with the partition and the cause.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.stuck import OPEN_TRANSACTION
from kafka_saga.messaging.survey import Extent
from kafka_saga.orchestrator.engine.outages import SLOW_MS, Outages
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.reminding import Reminder
from kafka_saga.runtime.telemetry import log

_log = log("timers")

BROKERS: Final = "brokers"
"""Instead of a partition: nobody tells how far they reach."""

TOLD_MS = 5_000
"""A record that is in a topic is read within milliseconds; what takes longer than this will take longer still."""

AGAIN_MS = 5_000
"""An end that is not reached is asked for again, however seldom it is told of by then."""

ANSWER_MS = 5
"""Usually the ends are told at once; what is not comes with a later batch."""


class ReplyReader(Protocol):
    """What the drain needs of the consumer."""

    async def extents(self, topics: Iterable[str]) -> Mapping[TopicPartition, Extent]: ...
    async def positions(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...


class Answer(NamedTuple):
    """One answer: how far the partitions reach, and where each was read to before that was asked."""

    began_at: int
    extents: Mapping[TopicPartition, Extent]
    before: Mapping[TopicPartition, int]

    def seen_again(self, later: Answer) -> Answer:
        """The same question in the light of a later answer: what a topic has lost meanwhile cannot be read."""
        extents = {
            tp: Extent(now.stable, min(now.end, self.extents[tp].end))
            for tp, now in later.extents.items()
            if tp in self.extents
        }
        return Answer(self.began_at, extents, later.before)

    @property
    def cut_off(self) -> set[TopicPartition]:
        """Partitions that were read further than they reach: their positions are about to be given up (R23)."""
        return {tp for tp, extent in self.extents.items() if self.before.get(tp, 0) > extent.end}

    def unread(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, str]:
        """The partitions that `positions` have not read to the end, and why not."""
        found = dict.fromkeys(self.cut_off, "it is shorter than what was read of it")
        for tp, extent in self.extents.items():
            position = positions.get(tp)
            if position is None:
                if extent.end > 0:
                    found[tp] = "it was added, and is not read yet"
            elif position < extent.end and tp not in found:
                found[tp] = OPEN_TRANSACTION if position >= extent.stable else "its records have not come yet"
        return found


class Drain:
    """Asks for the end and waits until it is reached, again and again, as long as it is stepped."""

    def __init__(
        self,
        *,
        store: Store,
        reader: ReplyReader,
        reply_topics: Iterable[str],
        outages: Outages,
        counts: Counter[str],
    ) -> None:
        self._store = store
        self._reader = reader
        self._reply_topics = tuple(reply_topics)
        self._outages = outages
        self._counts = counts
        self._asking: asyncio.Task[Answer | None] | None = None
        self._asked_at = 0
        self._wanted: Answer | None = None
        self._held = Reminder(TOLD_MS)
        self.reached_at = 0
        """What the reply topics held at this moment is read."""
        self.waits_for: Sequence[str] = ()
        """The partitions that are not read to the end that was asked for, or `brokers` where nobody tells it."""

    async def step(self, now: int) -> None:
        """Go on with it; to be called after a poll, and before its records are decided."""
        if self._asking is None and self._wanted is None:
            self._begin(now)
        if self._asking is not None:
            await self._answer()
        if self._wanted is None:
            return
        positions = await self._reader.positions(self._reply_topics)
        unread = self._wanted.unread(positions)
        if unread:
            self._wait(self._wanted, unread, positions, now)
        else:
            self.reached_at, self._wanted = self._wanted.began_at, None
            self.rest(now)

    def rest(self, now: int) -> None:
        """Nobody waits for it any more, or it is done."""
        self.waits_for = ()
        held_ms = self._held.ended(now)
        if held_ms is not None:
            _log.info("timers.released", held_ms=held_ms)

    def undone(self) -> None:
        """A batch was rolled back: the replies that it had read are unread again (R69)."""
        self.reached_at = 0

    def reset(self) -> None:
        """Other partitions are read from now on: what was asked, and what was reached, is of no use."""
        if self._asking is not None:
            self._asking.cancel()
        self._asking = self._wanted = None
        self.reached_at = 0

    async def stop(self) -> None:
        """End the question that may be under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _answer(self) -> None:
        asking = self._asking
        assert asking is not None, "somebody asks"
        await asyncio.wait([asking], timeout=0 if self._wanted else ANSWER_MS / 1000)
        if not asking.done():
            return
        self._asking, answer = None, asking.result()
        if answer is not None:
            self._wanted = answer if self._wanted is None else self._wanted.seen_again(answer)

    def _wait(
        self, wanted: Answer, unread: Mapping[TopicPartition, str], positions: Mapping[TopicPartition, int], now: int
    ) -> None:
        self.waits_for = sorted(f"{tp.topic}[{tp.partition}]" for tp in unread)
        if wanted.cut_off:
            self._wanted = None  # once its position is given up, it is another end that must be reached
        if self._asking is None and now - self._asked_at >= AGAIN_MS:
            self._begin(now)  # the topic may have lost meanwhile what is waited for
        if not self._held.goes_on(now):
            return
        self._counts["timers_held"] += 1
        for tp, why in unread.items():
            _log.warning(
                "timers.held",
                partition=f"{tp.topic}[{tp.partition}]",
                position=positions.get(tp),
                end=wanted.extents[tp].end,
                why=why,
                held_ms=self._held.lasted_ms(now),
            )

    def _begin(self, now: int) -> None:
        self._asked_at, self._asking = now, asyncio.create_task(self._ask(now), name="timers.probe")

    async def _ask(self, began_at: int) -> Answer | None:
        before = await self._reader.positions(self._reply_topics)
        try:
            extents = await self._reader.extents(self._reply_topics)
        except BrokerUnavailableError as error:
            self.waits_for = (BROKERS,)
            if self._held.goes_on(self._store.now()) or not self._outages.is_on:
                self._counts["timers_held"] += 1
                _log.warning("timers.held", error=str(error), why="no answer, no timeouts")
            self._outages.began()
            return None
        # Brokers that hung and then answered were away too: meanwhile nobody could reply.
        if self._outages.is_on or self._store.now() - began_at > SLOW_MS:
            self._outages.ended()
        return Answer(began_at, extents, before)
