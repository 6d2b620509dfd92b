"""When a timer may fire where replicas share the work (R69-R71).

Each replica reads its own partitions to their ends and writes that down with what it read. A timer fires when that was
done for every partition there is, whoever owns it, and when nobody's outbox holds what it waits for: a partition
without an owner, or a dead replica's messages, hold every timer of all of them, until somebody follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.survey import Extent
from kafka_saga.orchestrator.engine.drain import Drain
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.engine.outages import Outages
from kafka_saga.orchestrator.engine.publish import Publisher
from kafka_saga.orchestrator.engine.timers import stalls, what_holds
from kafka_saga.orchestrator.store.members import Horizon, Lanes, Members
from kafka_saga.orchestrator.store.port import Batch, Counted, Drained, OutboxId, Store
from kafka_saga.runtime.limits import TIMERS_PER_BATCH_MAX
from kafka_saga.schemas.ids import SagaRef

LOOK_INTERVAL_MS = 250
"""How often the store is asked for the next timer of all; what is due is fired a few of these later."""


class OwnReader(Protocol):
    """What is needed of a consumer that reads some partitions of its topics."""

    async def extents(self, topics: Iterable[str]) -> Mapping[TopicPartition, Extent]: ...
    async def positions(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...


class OwnReplies:
    """The reader as the drain sees it: only what is ours need be read by us; but all that exists is counted."""

    def __init__(self, reader: OwnReader) -> None:
        self._reader = reader
        self.owned: frozenset[TopicPartition] = frozenset()
        """Our partitions of these topics."""
        self.counts: dict[str, int] = {}
        """How many partitions each topic had by the last answer."""

    async def extents(self, topics: Iterable[str]) -> dict[TopicPartition, Extent]:
        found = await self._reader.extents(topics)
        counts: dict[str, int] = {}
        for tp in found:
            counts[tp.topic] = counts.get(tp.topic, 0) + 1
        self.counts = counts
        return {tp: extent for tp, extent in found.items() if tp in self.owned}

    async def positions(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        found = await self._reader.positions(topics)
        return {tp: at for tp, at in found.items() if tp in self.owned}


class SharedTimers:
    """Finds the sagas of our lanes whose timer may fire, and says how far our own partitions are read."""

    def __init__(
        self,
        *,
        store: Store,
        members: Members,
        replies: OwnReplies,
        drain: Drain,
        intake: Intake,
        publisher: Publisher,
        outages: Outages,
        lanes: Callable[[], Lanes],
    ) -> None:
        self._store = store
        self._members = members
        self._replies = replies
        self._drain = drain
        self._intake = intake
        self._publisher = publisher
        self._outages = outages
        self._lanes = lanes
        self._horizon = Horizon()
        self._looked_at = 0
        self._noted_at = 0
        """Up to which moment the store knows that ours are read."""
        self._noting = 0
        self._withheld: dict[OutboxId, str] = {}
        """What the store knows of our rows that one topic holds back."""

    def __repr__(self) -> str:
        return f"SharedTimers(next_wake_at={self._horizon.next_wake_at}, reached_at={self._reached_at})"

    @property
    def next_wake_at(self) -> int | None:
        """No timer runs out before this moment; None where none is set."""
        return self._horizon.next_wake_at

    def armed(self, wake_at: int | None) -> None:
        """It is the store that knows of all timers, others' too."""

    def held_by(self, now: int) -> Sequence[str]:
        """What keeps timers of all lanes from firing that have long been due: partitions, or anybody's `outbox`."""
        return what_holds(self._horizon.next_wake_at, now, self._oldest_unsent_at, self._unread)

    def _unread(self, wake_at: int) -> Sequence[str]:
        return self._horizon.unread(self._intake.reply_topics, wake_at)

    @property
    def has_drained(self) -> bool:
        """Whether a batch should be written only to say how far we have read."""
        return self._drain.reached_at > self._noted_at

    async def due(self, now: int) -> list[SagaRef]:
        """The sagas whose timer may fire now, oldest first. Call after a poll, before its records are decided."""
        if now - self._looked_at >= LOOK_INTERVAL_MS:
            if self._publisher.held_topics or self._withheld:
                await self._say_withheld()
            self._horizon, self._looked_at = await self._members.horizon(), now
        wake_at = self._horizon.next_wake_at
        if wake_at is None or wake_at > now:
            if self._lanes().has_first and not self._replies.counts:
                await self._drain.step(now)  # how many partitions there are says which lanes there are
            else:
                self._drain.rest(now)
            return []
        if self._drain.reached_at < wake_at and self._answers_for_some:
            await self._drain.step(now)
        if self._reached_at < wake_at or stalls(self._oldest_unsent_at, now):
            return []
        found = await self._store.due(min(now, self._reached_at), TIMERS_PER_BATCH_MAX)
        if len(found) < TIMERS_PER_BATCH_MAX:
            # Soon, and not later each time: on an idle store this comes every few milliseconds.
            self._looked_at = min(self._looked_at, now - LOOK_INTERVAL_MS // 2)
        return found

    def published_by(self, topic: str, decided_at: int) -> int | None:
        """When what was decided then was published at the latest, by whichever replica; None: not known."""
        if topic in self._publisher.held_topics or topic in self._horizon.withheld:
            return self._store.now()  # not before now: the wait begins again
        oldest = self._oldest_unsent_at
        if oldest is not None and oldest <= decided_at:
            return None
        return max(self._horizon.outage_ended_at, self._outages.ended_at, decided_at)

    def prove(self, batch: Batch) -> None:
        """Write down with a batch how far our partitions are read once it is committed (R69)."""
        at = self._drain.reached_at
        if at <= self._noted_at:
            return
        self._noting = at
        for tp in self._replies.owned:
            step = batch.offsets.get(tp)
            batch.drained[tp] = Drained(self._intake.stored.get(tp) if step is None else step.next, at)
        if self._lanes().has_first:
            batch.counted = {topic: Counted(count, at) for topic, count in self._replies.counts.items()}

    def committed(self) -> None:
        """A batch was written."""
        if self._noting > self._noted_at:
            self._noted_at, self._looked_at = self._noting, 0  # others may have done so too

    def reset(self) -> None:
        """Other partitions are ours now, or nothing is certain any more."""
        self._drain.reset()
        self._replies.counts = {}
        self._noted_at = self._noting = self._looked_at = 0
        self._horizon = Horizon()

    async def _say_withheld(self) -> None:
        """One topic's trouble stays that topic's: no other's timers wait for what it refuses (R73)."""
        withheld = self._publisher.withheld()
        new = {row: topic for row, topic in withheld.items() if row not in self._withheld}
        if new:
            await self._members.withhold(new)
        self._withheld = withheld

    @property
    def _answers_for_some(self) -> bool:
        return bool(self._replies.owned) or self._lanes().has_first

    @property
    def _oldest_unsent_at(self) -> int | None:
        """Everybody's: what a dead replica had not sent is not to be waited for."""
        return self._horizon.oldest_unsent_at

    @property
    def _reached_at(self) -> int:
        return self._horizon.reached_at(self._intake.reply_topics)
