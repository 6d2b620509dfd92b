"""Publishing replies beside the next batch's work, again and again until Kafka has them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.outlet import Outlet, Parcel, Sender
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.refusals import MessageKind
from kafka_saga.participants.outcomes import try_again
from kafka_saga.participants.progress import Progress, Source
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import STOP_TIMEOUT_MS
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.envelope import EFFECT, OUTCOME, Outcome
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX

_BATCHES_WAITING_MAX = 2
"""Enough to keep the producer busy; when the broker is away, reading stops two batches later."""


@dataclass(slots=True)
class Outgoing:
    """A batch's messages, and what is done once they are published."""

    messages: list[Message]
    following: dict[TopicPartition, int] = field(default_factory=dict)
    released: list[Source] = field(default_factory=list)
    tenure: int = 0
    """In which the partitions were ours (`Progress.tenure`)."""
    put_at_ms: int = 0
    """When it was handed over, by the monotonic clock."""


class Publisher:
    """Publishes batches in their order and marks their progress. `run` is a background task."""

    def __init__(
        self,
        producer: Sender,
        progress: Progress,
        *,
        clock: Clock,
        on_published: Callable[[], None],
    ) -> None:
        """Nothing is published before `run`.

        Args:
            producer: how.
            progress: marked when a batch is published.
            clock: for backoffs and late replies.
            on_published: called after each publication, when the progress has been marked.

        """
        self._producer = producer
        self._progress = progress
        self._outlet = Outlet(self, clock, kind_of=_kind_of, in_brief=_in_brief)
        self._unmarked: deque[tuple[Parcel, Outgoing]] = deque()
        """Batches whose progress is not marked yet, in their order."""
        self._clock = clock
        self._on_published = on_published
        self._waiting: asyncio.Queue[Outgoing] = asyncio.Queue(_BATCHES_WAITING_MAX)
        self._arrived = asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many messages are not known to be published."""
        return sum(len(outgoing.messages) for _, outgoing in self._unmarked)

    @property
    def oldest_ms(self) -> int:
        """For how long the oldest batch of them has been on its way; 0 where there is none."""
        return self._clock.monotonic_ms() - self._unmarked[0][1].put_at_ms if self._unmarked else 0

    async def put(self, outgoing: Outgoing) -> None:
        """Have `outgoing` published after what was put before; waits while too much is waiting."""
        if not self._is_closed:
            outgoing.put_at_ms = self._clock.monotonic_ms()
            self._in_hand += 1
            self._idle.clear()
            try:
                await self._waiting.put(outgoing)
                self._arrived.set()
            except asyncio.CancelledError:  # a late reply that is forgotten while it waits for its turn
                self._settle(1)
                raise

    def put_late(self, outgoing: Outgoing, delay_ms: int) -> None:
        """Have `outgoing` published in `delay_ms` milliseconds, without holding up anything else."""
        task = asyncio.create_task(self._put_after(outgoing, delay_ms), name="late reply")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                await self._outlet.wait(self._arrived)
                self._arrived.clear()
                batches: list[tuple[Parcel, Outgoing]] = []
                while not self._waiting.empty():
                    outgoing = self._waiting.get_nowait()
                    batches.append((Parcel(outgoing.messages), outgoing))
                self._unmarked += batches
                await self._outlet.send([parcel for parcel, _ in batches])
                if self._outlet.holds:
                    await self._outlet.retry()
                self._mark()
        finally:
            self._close()

    async def publish(self, messages: list[Message]) -> None:
        """One attempt."""
        failpoint("participant.publish.before")
        await self._producer.publish(messages)
        failpoint("participant.publish.after")

    def _mark(self) -> None:
        """Mark the progress of what is out, as far as nothing before it is owed: offsets tell only of beginnings."""
        self._outlet.settled.clear()
        marked = 0
        while self._unmarked and not self._unmarked[0][0].owed:
            _, outgoing = self._unmarked.popleft()
            self._progress.publish(outgoing.following, outgoing.released, tenure=outgoing.tenure)
            marked += 1
        if marked:
            self._settle(marked)
            self._on_published()

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

    def _close(self) -> None:
        """Let nobody wait for a publisher that has ended."""
        self._is_closed = True
        self.cancel_late()
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._idle.set()


def _kind_of(topic: str) -> MessageKind:
    """A participant publishes nothing else."""
    return MessageKind.DEAD_LETTER if topic.startswith(DEAD_LETTER_PREFIX) else MessageKind.REPLY


_BRIEF_LENGTH_MAX = 200


def _in_brief(reply: Message, error: PublishRefusedError) -> Message | None:
    """What can be told of a reply that its topic does not take: why it failed, in few words; a success is a `retry`.

    What it did stands, so it must not be told as a `failure`, which nobody undoes (R8). Its saga asks again, gets the
    stored reply if the topic takes it by then, and else takes the step for in doubt, with this as its cause.
    """
    if _kind_of(reply.topic) is not MessageKind.REPLY:
        return None
    headers = dict(reply.headers)
    if headers.get(OUTCOME) == _SUCCESS:
        headers[OUTCOME] = _RETRY
        headers.pop(EFFECT, None)
        text = f"it was done, and its reply cannot be sent: {error.detail}"
    else:
        text = decode_trusted(reply.value or b"")["error"]
    brief = try_again(text[:_BRIEF_LENGTH_MAX]).body
    return (
        None
        if len(brief) >= len(reply.value or b"")
        else Message(reply.topic, reply.key, brief, tuple(headers.items()))
    )


_SUCCESS, _RETRY = Outcome.SUCCESS.value.encode(), Outcome.RETRY.value.encode()
