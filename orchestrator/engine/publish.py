"""Stage 4: what was committed goes to the broker, in the order of its commits, beside the next batch.

The outbox row is deleted by a later batch: whatever a crash leaves there is published again with the same ids.
While the broker is away messages wait here and in the outbox, and nothing times out (R21).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence

from kafka_saga.messaging.outlet import Outlet, Parcel, Sender, Unsent
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.refusals import MessageKind
from kafka_saga.orchestrator.engine.outages import SLOW_MS, Outages
from kafka_saga.orchestrator.store.port import OutboxId, OutboxRow
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import OUTBOX_MESSAGES_MAX, STOP_TIMEOUT_MS


class Publisher:
    """One task that publishes the outbox."""

    def __init__(self, *, sender: Sender, clock: Clock, now: Callable[[], int], outages: Outages) -> None:
        self._sender = sender
        self._outages = outages
        self._clock = clock
        self._now = now
        self._outlet = Outlet(self, clock, is_closing=lambda: self._closing)
        self._queue: deque[tuple[int, Parcel]] = deque()
        self._sending: list[tuple[int, Parcel]] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self.published: list[OutboxId] = []
        """Outbox rows that a next batch may delete."""

    def __repr__(self) -> str:
        return f"Publisher(waiting={self.waiting}, oldest={self.oldest_unpublished_at}, {self._outlet})"

    @property
    def waiting(self) -> int:
        """How many messages are not known to be published."""
        return self._under_way + self.held

    @property
    def held(self) -> int:
        """How many of them wait for topics that take nothing for now."""
        return self._outlet.held

    @property
    def _under_way(self) -> int:
        return sum(len(parcel.messages) for rows in (self._sending, self._queue) for _, parcel in rows)

    @property
    def oldest_unpublished_at(self) -> int | None:
        """When the oldest message under way was decided; None where there is none. What is held is not under way."""
        if self._sending:
            return self._sending[0][0]
        return self._queue[0][0] if self._queue else None

    @property
    def held_ms(self) -> int:
        """For how long the first topic of these takes nothing; 0 where all do."""
        return self._outlet.held_ms

    @property
    def held_topics(self) -> frozenset[str]:
        """The topics that take nothing for now: nobody can reply to what waits for them."""
        return frozenset(self._outlet.holds)

    def withheld(self) -> dict[OutboxId, str]:
        """The rows of which only what one of these topics refuses is left, and which topic (R73)."""
        return {parcel.ticket: topic for parcel, topic in self._outlet.held_alone()}

    @property
    def held_commands(self) -> int:
        """How many commands wait for these."""
        return self._outlet.held_of(MessageKind.COMMAND)

    @property
    def unsent(self) -> Sequence[Unsent]:
        """Commands that will not be sent, of which the saga does not know yet."""
        return self._outlet.unsent

    @property
    def counts(self) -> Counter[str]:
        """What was given up, by why."""
        return self._outlet.counts

    @property
    def full(self) -> bool:
        """Whether intake must pause (I20). One topic that takes nothing does not fill it."""
        return self._under_way >= OUTBOX_MESSAGES_MAX

    def add(self, row: OutboxRow, *, may_be_out: bool = False) -> None:
        """Publish `row` after everything before it; `may_be_out` where an earlier life may have done so."""
        self._queue.append((row.created_at, Parcel(row.messages, row.outbox_id, may_be_out)))
        self._arrived.set()

    def take_published(self) -> list[OutboxId]:
        """The outbox rows to delete in this batch."""
        taken, self.published = self.published, []
        return taken

    def take_unsent(self) -> list[Unsent]:
        """The commands whose sagas this batch tells; it also takes them out of their rows."""
        taken, self._outlet.unsent = self._outlet.unsent, []
        self._outlet.told(taken)
        self._settle()
        return taken

    @staticmethod
    def rewritten(unsent: Sequence[Unsent], published: Collection[OutboxId]) -> dict[OutboxId, list[Message]]:
        """The rows that stay for other messages' sake, and what stays of each (`Batch.rewritten`)."""
        rows = {one.parcel.ticket: one.parcel for one in unsent}
        return {row: parcel.left for row, parcel in rows.items() if row not in published}

    def give_back(self, published: list[OutboxId], unsent: Sequence[Unsent]) -> None:
        """The batch was rolled back: its rows are still there, and nobody was told."""
        untold = {one.parcel.ticket for one in unsent}
        self.published += [row for row in published if row not in untold]
        self._outlet.untold(unsent)

    def forget(self) -> None:
        """Our life is over: what waits here is its heir's to publish, and to tell of (R62)."""
        self._queue.clear()
        self.published.clear()
        self._outlet.forget()

    def close(self) -> None:
        """End `run` once it has nothing in hand; what the broker does not take stays in the outbox."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Publish until closed."""
        while True:
            await self._outlet.wait(self._arrived)
            self._arrived.clear()
            if self._queue:
                self._sending = list(self._queue)
                self._queue.clear()
                began_at = self._sending[0][0]
                if not await self._outlet.send([parcel for _, parcel in self._sending]):
                    return
                self._sending = []
                if self._now() - began_at > SLOW_MS:
                    self._outlet.interrupted = True
                self._heed_interruption()
            if self._outlet.holds:
                await self._outlet.retry()
                self._heed_interruption()
            self._settle()
            if self._closing and not self._queue:
                return
            if self._queue:
                self._arrived.set()

    async def publish(self, messages: list[Message]) -> None:
        """One attempt."""
        failpoint("orchestrator.publish.before")
        await self._sender.publish(messages)
        failpoint("orchestrator.publish.after")

    def _heed_interruption(self) -> None:
        """Let waits for replies begin now (R21): before anything is waited for, since nothing holds timers any more."""
        if self._outlet.interrupted or self._outages.is_on:
            self._outlet.interrupted = False
            self._outages.ended()

    def _settle(self) -> None:
        settled, self._outlet.settled = self._outlet.settled, []
        self.published += [parcel.ticket for parcel in settled]


async def finished(publishing: asyncio.Task[None]) -> None:
    """Give the publisher a while to hand over the last batch; the outbox keeps what it cannot."""
    await asyncio.wait([publishing], timeout=STOP_TIMEOUT_MS / 1000)
    publishing.cancel()
