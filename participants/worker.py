"""A command's path: poll → read → guard and handle → commit → reply.

One worker per service and database file; on PostgreSQL as many as the topic has partitions, which come and go (R77).

A batch is what has come, up to a limit, and shares one transaction and one publication: a lone command does not
wait, and under load batches grow by themselves. While one batch's replies are on their way, the next is handled.

The command log is the outbox. Replies are not stored to be sent; the offset is. It moves in a *later* batch's
transaction, only past commands whose replies are known to be published. After a crash everything since is read
again, and the fence answers it with the stored replies: nothing runs twice, and no reply is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from logging import DEBUG
from typing import TYPE_CHECKING

from kafka_saga.messaging.outlet import Sender
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.waiting import let_send
from kafka_saga.participants.calls import ExternalCalls, Settled
from kafka_saga.participants.command import Command
from kafka_saga.participants.faults import FaultInjector, Faults
from kafka_saga.participants.guard import Guard, Handled, Work
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.intake import Batch, Intake
from kafka_saga.participants.meters import WorkerMeters
from kafka_saga.participants.portions import Portions
from kafka_saga.participants.progress import Progress, Source
from kafka_saga.participants.publisher import Outgoing, Publisher
from kafka_saga.participants.reader import CommandConsumer
from kafka_saga.participants.replying import message_of
from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.participants.undone import UndoneError
from kafka_saga.participants.upkeep import Upkeep
from kafka_saga.participants.witness import Witness
from kafka_saga.runtime.clock import Clock, ForwardClock
from kafka_saga.runtime.errors import ConflictError, SagaError, StoreUnavailableError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import (
    FENCE_RETENTION_MS,
    HANDLER_TIMEOUT_MS,
    POLL_RECORDS_MAX,
    REVOKE_TIMEOUT_MS,
    STOP_TIMEOUT_MS,
)
from kafka_saga.runtime.patience import Patience
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.topics import TopicNames

if TYPE_CHECKING:
    from kafka_saga.participants.spans import WorkerSpans

_log = log("worker")

_POLL_MS = 200
"""How soon a stop is noticed when nothing comes."""

_WHY = "no command is handled until then, and none is lost; its saga's attempt may run out meanwhile"

_IDLE_MS = 1_000
"""After this long without commands the offsets are written in a transaction of their own."""


class Worker:
    """Handles the commands of one participant until it is told to stop."""

    def __init__(
        self,
        participant: Participant,
        *,
        store: ParticipantStore,
        stored_offsets: Mapping[TopicPartition, int],
        newest_ms: int,
        consumer: CommandConsumer,
        producer: Sender,
        topics: TopicNames,
        group: str,
        clock: Clock,
        lifecycle: Lifecycle,
        faults: Faults | None = None,
        handler_timeout_ms: int = HANDLER_TIMEOUT_MS,
        fence_retention_ms: int = FENCE_RETENTION_MS,
        witness: Witness | None = None,
    ) -> None:
        """Nothing is read before `run`.

        Args:
            participant: whose handlers run.
            store: its memory, owned by this process.
            stored_offsets: what the store holds, and where `consumer` started.
            newest_ms: the newest time in the store (R27).
            consumer: already started.
            producer: of replies and dead letters.
            topics: how topics are called.
            group: the consumer group, for lag tools and dead letters.
            clock: the time.
            lifecycle: says when to stop.
            faults: what goes wrong on purpose.
            handler_timeout_ms: how long a handler may take inside the transaction.
            fence_retention_ms: for how long the fence remembers (R16).
            witness: remembers what the process dies of.

        """
        self.meters = meters = WorkerMeters(participant.name)
        injector = FaultInjector(faults or Faults())
        self._participant = participant
        self._store = store
        self._consumer = consumer
        self.group, self._source = group, f"/{participant.name}"
        self.clock = self._clock = clock
        self._lifecycle = lifecycle
        self._patience = Patience(clock, lifecycle.stopping, _WHY)
        self._faults = injector
        self._upkeep = Upkeep(store, clock, fence_retention_ms)
        self._now_ms = ForwardClock(clock, newest_ms).now_ms
        self._intake = Intake(participant, topics, group=group, counts=meters.dead_lettered)
        self._guard = Guard(
            participant,
            store,
            faults=injector,
            handler_timeout_ms=handler_timeout_ms,
            fence_retention_ms=fence_retention_ms,
            witness=witness,
            on_handled=meters.took,
        )
        self._calls = ExternalCalls(injector)
        self._message_of = message_of
        self._progress = Progress(stored_offsets)
        self._publisher = Publisher(producer, self._progress, clock=clock, on_published=self._hint)
        self._poll: asyncio.Task[Sequence[Record]] | None = None
        self._at_store = asyncio.Lock()
        """One transaction at a time: partitions are given back inside a poll, which may run beside a batch."""
        self._active_at_ms = self._turned_at_ms = clock.monotonic_ms()

    def trace(self, spans: WorkerSpans) -> None:
        """Make traces of what it does."""
        self._guard.spans, self._calls.calling, self._message_of = spans, spans.calling, spans.message_of

    @property
    def silent_ms(self) -> int:
        """How long ago the last turn or transaction ended: what a health check looks at."""
        return self._clock.monotonic_ms() - self._turned_at_ms

    @property
    def publisher(self) -> Publisher:
        """What is decided and not published yet."""
        return self._publisher

    async def run(self) -> None:
        """Handle commands until the process is told to stop, then finish what is in hand.

        Raises:
            ConflictError: another process moved this store's offsets.
            BrokenStoreError: the database cannot be written.

        """
        publishing = self._lifecycle.spawn(self._publisher.run(), "publisher")
        try:
            while not self._lifecycle.stopping.is_set():
                await self._turn()
            await self._finish()
        finally:
            publishing.cancel()
            await asyncio.wait({publishing})

    async def _turn(self) -> None:
        records = await self._next_records()
        if records:
            failpoint("participant.poll.after")
        await self._take_resets()
        settled, waited = self._calls.take()
        if records or settled:
            now_ms, tenure = self._now_ms(), self._progress.tenure
            await self._process(self._intake.read(records, now_ms), settled, waited, now_ms, tenure)
            self._active_at_ms = self._clock.monotonic_ms()
            await let_send()
            await self._look_after(now_ms, idle=False)
        elif self._clock.monotonic_ms() - self._active_at_ms >= _IDLE_MS:
            await self._idle()
        self._turned_at_ms = self._clock.monotonic_ms()

    async def _next_records(self) -> Sequence[Record]:
        """What has come. Empty after a while without anything, and when a call to the outside has ended."""
        if self._poll is None and not self._calls.is_full:
            if not self._calls.pending:
                return await self._consumer.poll(_POLL_MS, POLL_RECORDS_MAX)
            self._poll = asyncio.create_task(self._consumer.poll(_POLL_MS, POLL_RECORDS_MAX), name="poll")
        changed = asyncio.create_task(self._calls.changed.wait(), name="call ended")
        tasks: set[asyncio.Task[object]] = {changed, self._poll} if self._poll else {changed}
        await asyncio.wait(tasks, timeout=_POLL_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if self._poll is None or not self._poll.done():
            return ()
        poll, self._poll = self._poll, None
        return poll.result()

    async def _process(
        self, batch: Batch, settled: Sequence[Settled], waited: Sequence[Command], now_ms: int, tenure: int
    ) -> None:
        """Handle it all, a portion at a time: as a rule one, more where handlers are slow or lose the transaction."""
        rest = self._guard.slow_last([*settled, *waited, *batch.commands])
        dead_letters = batch.dead_letters
        portions = Portions(partial(self._in_one_transaction, now_ms))
        while True:
            handled = await portions.first_of(rest)
            rest = rest[len(handled) :]
            outgoing = Outgoing([*dead_letters], {} if rest else batch.following, tenure=tenure)
            if _log.is_enabled_for(DEBUG):  # asked once a batch: a line that nobody sees costs half a statement
                _describe(handled, dead_letters=len(dead_letters), calls=len(settled))
            for one in handled:
                self._send(one, outgoing, now_ms)
            self.meters.handled(handled)
            await self._publisher.put(outgoing)
            if not rest:
                return
            dead_letters = []
            await let_send()

    async def _in_one_transaction(self, now_ms: int, works: Sequence[Work], *, alone: bool = False) -> list[Handled]:
        while True:
            try:
                async with self._at_store:
                    moved = self._progress.unwritten()
                    async with self._store.transaction(alone=alone):
                        await self._store.move_offsets(self._progress.stored, moved, now_ms)
                        handled = await self._guard.handle(works, now_ms)
                        failpoint("participant.commit.before")
                    failpoint("participant.commit.after")
                    self._progress.written(moved)
                    self._patience.answered()
                    self._turned_at_ms = self._clock.monotonic_ms()
                    return handled
            except (ConflictError, StoreUnavailableError) as error:
                if not self._store.is_shared:
                    raise
                await self._begin_again(error)

    async def _begin_again(self, error: SagaError) -> None:
        """Find out what is stored: the batch's commit may have been carried out, or another worker has written.

        Then the batch is done again; what of it is known is answered by the fence.

        Raises:
            StoreUnavailableError: the server is away, or takes nothing, and this process is to stop.

        """
        if not isinstance(error, StoreUnavailableError):
            _log.warning("worker.begins_again", error=str(error))
        while True:
            if isinstance(error, StoreUnavailableError):
                await self._patience.unanswered(error)
            try:
                async with self._at_store:
                    self._progress.correct(await self._store.offsets())
            except StoreUnavailableError as away:
                error = away
            else:
                return

    def _send(self, handled: Handled, outgoing: Outgoing, now_ms: int) -> None:
        """Put into `outgoing` what follows from one handled command, and begin its call."""
        command, reply = handled.command, handled.reply
        if handled.call is not None and (reply is None or not self._calls.is_open(command.key)):
            self._calls.submit(handled.call)
        if reply is None:
            if command.source is not None:
                self._progress.hold(command.source)
            return
        if handled.contract_error is not None and command.record is not None:
            letter = self._intake.set_aside(command.record, handled.contract_error, stage="validate", now_ms=now_ms)
            outgoing.messages.append(letter)
        head = command.head
        if handled.is_fresh and reply.outcome is not Outcome.RETRY and self._faults.must_crash(head):
            os.kill(os.getpid(), signal.SIGKILL)
        messages = [] if self._faults.must_lose(head) else [self._message_of(command, reply, self._source)]
        delay_ms = self._faults.delay_ms(head)
        if delay_ms:
            if command.source is not None:
                self._progress.hold(command.source)
            late = Outgoing(messages, {}, _sources(command), outgoing.tenure)
            self._publisher.put_late(late, delay_ms)
        else:
            outgoing.messages += messages
            if self._progress.holds_any:
                outgoing.released += _sources(command)

    async def _take_resets(self) -> None:
        resets = self._consumer.take_resets()
        if not resets:
            return
        # Batches from before the reset must not mark their progress after it.
        while not await self._publisher.drain():
            _log.warning("worker.reset_waits_for_publication")
        for reset in resets:
            self._progress.reset(reset.partition, reset.position)

    async def _idle(self) -> None:
        await self._write_offsets()
        await self._look_after(self._now_ms(), idle=True)

    async def _look_after(self, now_ms: int, *, idle: bool) -> None:
        try:
            async with self._at_store:
                is_new = await self._store.ready()  # who only waits is seen there, too, and keeps its name
                if await self._upkeep.step(now_ms, idle=idle) or is_new:
                    self._patience.answered()
        except (UndoneError, StoreUnavailableError) as error:
            if not self._store.is_shared:
                raise
            if not self._patience.notes(error):
                _log.warning("worker.upkeep_put_off", error=str(error))
            self._active_at_ms = self._clock.monotonic_ms()

    async def _write_offsets(self) -> None:
        if not self._progress.unwritten():
            return
        try:
            async with self._at_store:
                moved = self._progress.unwritten()
                failpoint("participant.offsets.before")
                async with self._store.transaction():
                    await self._store.move_offsets(self._progress.stored, moved, self._now_ms())
                failpoint("participant.offsets.after")
                self._progress.written(moved)
                self._patience.answered()
        except (ConflictError, UndoneError, StoreUnavailableError) as error:
            if not self._store.is_shared:
                raise
            if not self._patience.notes(error):
                _log.warning("worker.offsets_not_written", error=str(error))
            self._active_at_ms = self._clock.monotonic_ms()  # tried again after as long as before
            if isinstance(error, ConflictError):
                await self._begin_again(error)
        else:
            self._hint()

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These are ours: where they are read on. As `PartitionOwner` has it."""
        while True:
            try:
                async with self._at_store:
                    stored = await self._store.offsets()
            except StoreUnavailableError as error:
                await self._begin_again(error)
            else:
                self._patience.answered()
                break
        positions = {tp: offset for tp, offset in stored.items() if tp in partitions}
        self._progress.begin(positions)
        return positions

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:  # noqa: ARG002 -- they are all that we have
        """Publish what is in hand, write how far we came, and let go. As `PartitionOwner` has it.

        Calls to the outside that are open go on, and are settled here: that needs no partition. Their commands' offsets
        were held, so whoever reads them next makes the call again, with the same key (R17).
        """
        await self._calls.rest(REVOKE_TIMEOUT_MS // 3)
        if not await self._publisher.drain(REVOKE_TIMEOUT_MS // 3):
            _log.warning("worker.revoked_unpublished", hint="their commands are read again by their next owner")
        await self._write_offsets()
        async with self._at_store:
            self._progress.end()

    async def _finish(self) -> None:
        """Settle what can be settled soon, publish, write the offsets. What is left is read again next time."""
        if self._poll is not None:
            await asyncio.wait({self._poll})
        self._publisher.cancel_late()
        await self._calls.drain(STOP_TIMEOUT_MS // 2)
        settled, _ = self._calls.take()
        if settled:
            await self._process(Batch(), settled, (), self._now_ms(), self._progress.tenure)
        if not await self._publisher.drain():
            _log.warning("worker.stopped_unpublished", hint="their commands are read again after the next start")
        await self._write_offsets()

    def _hint(self) -> None:
        self._consumer.commit_hint(self._progress.positions(), self._store.store_id)


def _sources(command: Command) -> list[Source]:
    return [] if command.source is None else [command.source]


def _describe(handled: Sequence[Handled], **counts: int) -> None:
    for command, reply, *_ in handled:
        if reply is not None:
            head, outcome = command.head, reply.outcome.value
            _log.debug("command.handled", command_id=head.command_id, attempt=head.attempt, outcome=outcome)
    _log.debug("batch.committed", commands=len(handled), **counts)
