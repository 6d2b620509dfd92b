"""Publishing replies beside the next batch's work, again and again until Kafka has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kafka_saga.messaging.dead_letters import instead_of
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.participants.progress import Progress, Source
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import STOP_TIMEOUT_MS
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX

_log = log("publisher")

_BATCHES_WAITING_MAX = 2
"""Enough to keep the producer busy; when the broker is away, reading stops two batches later."""

_BACKOFF_MS_MIN = 100
_BACKOFF_MS_MAX = 5_000
"""The producer itself waits up to ten seconds for a broker; this only keeps refusals from spinning."""


class MessageProducer(Protocol):
    """What of `kafka_saga.messaging.producer.Producer` is used."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store all `messages` on the brokers before returning."""
        ...


@dataclass(slots=True)
class Outgoing:
    """A batch's messages, and what is done once they are published."""

    messages: list[Message]
    following: dict[TopicPartition, int] = field(default_factory=dict)
    released: list[Source] = field(default_factory=list)


class Publisher:
    """Publishes batches in their order and marks their progress. `run` is a background task."""

    def __init__(
        self,
        producer: MessageProducer,
        progress: Progress,
        *,
        own_topics: Collection[str],
        clock: Clock,
        on_published: Callable[[], None],
    ) -> None:
        """Nothing is published before `run`.

        Args:
            producer: how.
            progress: marked when a batch is published.
            own_topics: those that must be there and writable; what other topics refuse is given up.
            clock: for backoffs and late replies.
            on_published: called after each publication, when the progress has been marked.

        """
        self._producer = producer
        self._progress = progress
        self._own_topics = frozenset(own_topics)
        self._clock = clock
        self._on_published = on_published
        self._waiting: asyncio.Queue[Outgoing] = asyncio.Queue(_BATCHES_WAITING_MAX)
        self._late: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def put(self, outgoing: Outgoing) -> None:
        """Have `outgoing` published after what was put before; waits while too much is waiting."""
        if not self._is_closed:
            self._in_hand += 1
            self._idle.clear()
            try:
                await self._waiting.put(outgoing)
            except asyncio.CancelledError:  # a late reply that is forgotten while it waits for its turn
                self._settle(1)
                raise

    def put_late(self, outgoing: Outgoing, delay_ms: int) -> None:
        """Have `outgoing` published in `delay_ms` milliseconds, without holding up anything else."""
        task = asyncio.create_task(self._put_after(outgoing, delay_ms), name="late reply")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            PublishRefusedError: an own topic is missing or closed to us: every reply would be lost.

        """
        try:
            while True:
                batches = [await self._waiting.get()]
                while not self._waiting.empty():
                    batches.append(self._waiting.get_nowait())
                await self._publish([message for batch in batches for message in batch.messages])
                for batch in batches:
                    self._progress.publish(batch.following, batch.released)
                self._settle(len(batches))
                self._on_published()
        finally:
            self._close()

    async def drain(self, timeout_ms: int = STOP_TIMEOUT_MS) -> bool:
        """Wait until all that was put is published; False when that takes longer than `timeout_ms`."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_ms / 1000)
        except TimeoutError:
            return False
        return True

    def cancel_late(self) -> None:
        """Forget late replies; their commands are read again after the next start."""
        for task in self._late:
            task.cancel()

    def _settle(self, batches: int) -> None:
        self._in_hand -= batches
        if not self._in_hand:
            self._idle.set()

    async def _put_after(self, outgoing: Outgoing, delay_ms: int) -> None:
        await self._clock.sleep(delay_ms)
        await self.put(outgoing)

    async def _publish(self, messages: list[Message]) -> None:
        backoff_ms = _BACKOFF_MS_MIN
        while messages:
            failpoint("participant.publish.before")
            try:
                await self._producer.publish(messages)
            except BrokerUnavailableError as error:
                _log.warning("replies.publish_failed", messages=len(messages), retry_in_ms=backoff_ms, error=str(error))
                await self._clock.sleep(backoff_ms)
                backoff_ms = min(2 * backoff_ms, _BACKOFF_MS_MAX)
            except PublishRefusedError as error:
                messages = self._without_refused(messages, error)
            else:
                failpoint("participant.publish.after")
                return

    def _without_refused(self, messages: list[Message], error: PublishRefusedError) -> list[Message]:
        """The messages that may still be published. A reply that is given up is asked for by the next attempt."""
        refused = {id(message) for message in error.messages}
        is_ours_to_mend = error.topic in self._own_topics and error.reason in {"unknown_topic", "not_authorised"}
        if is_ours_to_mend or not refused:
            raise error
        _log.error("message.refused", topic=error.topic, reason=error.reason, messages=len(refused), error=str(error))
        kept: list[Message] = []
        for message in messages:
            if id(message) not in refused:
                kept.append(message)
            elif message.topic.startswith(DEAD_LETTER_PREFIX):  # what is lost there, nobody asks for again
                smaller = instead_of(message, error, self._clock.now_ms())
                kept += [] if smaller is None else [smaller]
        return kept

    def _close(self) -> None:
        """Let nobody wait for a publisher that has ended."""
        self._is_closed = True
        self.cancel_late()
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._idle.set()
