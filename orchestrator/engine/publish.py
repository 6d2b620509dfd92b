"""Stage 4: what was committed goes to the broker, in the order of its commits, beside the next batch.

The outbox row is deleted by a later batch: whatever a crash leaves there is published again with the same ids.
While the broker is away messages wait here and in the outbox, and nothing times out (R21).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from kafka_saga.messaging.dead_letters import instead_of
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.engine.outages import SLOW_MS, Outages
from kafka_saga.orchestrator.store.port import OutboxRow
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import OUTBOX_MESSAGES_MAX
from kafka_saga.runtime.telemetry import log

_log = log("publish")

RETRY_MS_MAX = 5_000


class Sender(Protocol):
    """What publishing needs of a producer."""

    async def publish(self, messages: list[Message]) -> None: ...


class Publisher:
    """One task that publishes the outbox."""

    def __init__(self, *, sender: Sender, clock: Clock, now: Callable[[], int], outages: Outages) -> None:
        self._sender = sender
        self._outages = outages
        self._clock = clock
        self._now = now
        self._queue: deque[OutboxRow] = deque()
        self._sending: list[OutboxRow] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self._settled = asyncio.Event()
        self._settled.set()
        self.waiting = 0
        """Messages not yet known to be published."""
        self.published: list[int] = []
        """Outbox rows that a next batch may delete."""

    def __repr__(self) -> str:
        return f"Publisher(waiting={self.waiting}, oldest={self.oldest_unpublished_at})"

    @property
    def oldest_unpublished_at(self) -> int | None:
        """When the oldest message not known to be published was decided; None where all are."""
        if self._sending:
            return self._sending[0].created_at
        return self._queue[0].created_at if self._queue else None

    @property
    def full(self) -> bool:
        """Whether intake must pause (I20)."""
        return self.waiting >= OUTBOX_MESSAGES_MAX

    def add(self, row: OutboxRow) -> None:
        """Publish `row` after everything before it."""
        self._queue.append(row)
        self.waiting += len(row.messages)
        self._settled.clear()
        self._arrived.set()

    def take_published(self) -> list[int]:
        """The outbox rows to delete in this batch."""
        taken, self.published = self.published, []
        return taken

    async def settled(self) -> None:
        """Wait until everything is published."""
        await self._settled.wait()

    def close(self) -> None:
        """End `run` once it has nothing in hand; what the broker does not take stays in the outbox."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Publish until closed."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._queue:
                self._sending = list(self._queue)
                self._queue.clear()
                if not await self._send([message for row in self._sending for message in row.messages]):
                    return
                self._done()
            if self._closing and not self._queue:
                return
            if self._queue:
                self._arrived.set()

    async def _send(self, messages: list[Message]) -> bool:
        """Publish `messages`, however long the broker is away; false when closed meanwhile."""
        wait_ms = 100
        failed = False
        while messages:
            failpoint("orchestrator.publish.before")
            try:
                await self._sender.publish(messages)
            except BrokerUnavailableError as error:
                if self._closing:
                    return False
                _log.warning("publish.unavailable", messages=len(messages), error=str(error), retry_ms=wait_ms)
                failed = True
                await self._clock.sleep(wait_ms)
                wait_ms = min(RETRY_MS_MAX, wait_ms * 2)
            except PublishRefusedError as error:
                if error.reason in ("unknown_topic", "not_authorised"):
                    if self._closing:
                        return False
                    _log.error("publish.refused", topic=error.topic, error=str(error), retry_ms=RETRY_MS_MAX)
                    failed = True
                    await self._clock.sleep(RETRY_MS_MAX)
                else:
                    messages = self._without_refused(messages, error)
            else:
                break
        failpoint("orchestrator.publish.after")
        if failed or self._outages.is_on or self._now() - self._sending[0].created_at > SLOW_MS:
            self._outages.ended()
        return True

    def _without_refused(self, messages: list[Message], error: PublishRefusedError) -> list[Message]:
        """The broker will never take these: keep what can be kept of them as dead letters, and go on."""
        refused = {id(message) for message in error.messages}
        _log.error("publish.set_aside", topic=error.topic, messages=len(refused), error=str(error))
        kept: list[Message] = []
        for message in messages:
            if id(message) not in refused:
                kept.append(message)
                continue
            instead = instead_of(message, error, self._clock.now_ms())
            if instead is None:
                _log.error("publish.lost", topic=message.topic, error=str(error))
            else:
                kept.append(instead)
        return kept

    def _done(self) -> None:
        self.published += [row.outbox_id for row in self._sending]
        self.waiting -= sum(len(row.messages) for row in self._sending)
        self._sending = []
        if not self._queue:
            self._settled.set()
