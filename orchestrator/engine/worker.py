"""The engine: one loop that takes what has come, decides it, commits it, and hands it to the publisher.

Latency and throughput come from the same code: an idle loop takes a lone message at once; under load batches grow
by themselves, because more arrives while one is being committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Protocol

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.outlet import Sender
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.survey import Extent
from kafka_saga.messaging.waiting import let_send
from kafka_saga.orchestrator.engine import recovery
from kafka_saga.orchestrator.engine.admission import Admission
from kafka_saga.orchestrator.engine.decide import Decided, Decider
from kafka_saga.orchestrator.engine.drain import Drain
from kafka_saga.orchestrator.engine.holds import choked_types, is_held
from kafka_saga.orchestrator.engine.inputs import Inputs
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.engine.outages import Outages
from kafka_saga.orchestrator.engine.pauses import NOTHING, Paused
from kafka_saga.orchestrator.engine.publish import Publisher
from kafka_saga.orchestrator.engine.timers import Timers
from kafka_saga.orchestrator.engine.upkeep import Retention, Upkeep
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.port import Batch, OutboxRow, Store
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import ACTS_PER_BATCH_MAX, IN_FLIGHT_MAX, POLL_RECORDS_MAX, STOP_TIMEOUT_MS
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

_log = log("engine")

ACTS_INTERVAL_MS = 200
"""How often a store without notifications is asked for operator acts (R25)."""

RECOUNT_INTERVAL_MS = 1_000
"""A full window is counted anew this often: a few hundred index entries."""

GATED_POLL_MS = 20
"""A due timer waits for the reply topics' ends: look again soon."""

IDLE_FLUSH_MS = 1_000
"""How long an idle engine leaves published rows in the outbox before it spends a transaction on them."""


_NO_TOPICS: frozenset[str] = frozenset()

FOR_EVER = Retention()


class Reader(Protocol):
    """What the engine needs of a consumer."""

    async def start(self, positions: Mapping[TopicPartition, int]) -> None: ...
    async def stop(self) -> None: ...
    async def poll(self, timeout_ms: int, records_max: int) -> list[Record]: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    def pause(self, topics: Iterable[str]) -> None: ...
    def resume(self, topics: Iterable[str]) -> None: ...
    def take_resets(self) -> tuple[Reset, ...]: ...
    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None: ...
    async def extents(self, topics: Iterable[str]) -> Mapping[TopicPartition, Extent]: ...
    async def positions(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...


class Engine:
    """Advances sagas.

    Args:
        store, reader, sender: the ports; the composition root chooses their adapters.
        registry: the definitions.
        topics: how topics are called.
        group: the consumer group of the offset hints and dead letters.
        in_flight_max: how many sagas run at once (R20).
        park_missing: park sagas whose version no code has, instead of refusing to start (R30).
        retention: for how long what has ended is kept (R29).

    """

    def __init__(
        self,
        *,
        store: Store,
        reader: Reader,
        sender: Sender,
        registry: Registry,
        topics: TopicNames,
        clock: Clock,
        group: str,
        in_flight_max: int = IN_FLIGHT_MAX,
        park_missing: bool = False,
        retention: Retention = FOR_EVER,
    ) -> None:
        self._store = store
        self._reader = reader
        self._registry = registry
        self._topics = topics
        self._clock = clock
        self._group = group
        self._park_missing = park_missing
        self._intake = Intake(registry=registry, topics=topics, group=group)
        self._decider = Decider(registry=registry, topics=topics, intake=self._intake)
        self._outages = Outages(store.now)
        self._publisher = Publisher(sender=sender, clock=clock, now=store.now, outages=self._outages)
        self.counts: Counter[str] = Counter()
        """What happened since the start, by name."""
        self._drain = Drain(
            store=store,
            reader=reader,
            reply_topics=self._intake.reply_topics,
            outages=self._outages,
            counts=self.counts,
        )
        self._timers = Timers(store=store, drain=self._drain, publisher=self._publisher)
        self._admission = Admission(in_flight_max)
        self._upkeep = Upkeep(store, clock, retention)
        self._acts_read_at = 0
        self._recounted_at = 0
        self._active_at = 0
        self._requests_paused = False
        self._paused = NOTHING
        self._closed: frozenset[str] = frozenset()
        """The request topics that are not read for now."""

    def __repr__(self) -> str:
        return f"Engine({self._admission}, {self._publisher}, {self._timers}, {dict(self.counts)})"

    async def run(self, lifecycle: Lifecycle) -> None:
        """Advance sagas until `lifecycle` stops; the batch in hand is finished and published."""
        await self._recover()
        publishing = lifecycle.spawn(self._publisher.run(), "publisher")
        _log.info("orchestrator.ready", store=self._store.store_id, sagas=self._registry.saga_types, group=self._group)
        try:
            while not lifecycle.stopping.is_set():
                await self.step()
        except asyncio.CancelledError:
            publishing.cancel()  # stopped at once: what was decided is published by whoever comes next
            raise
        finally:
            await self._drain.stop()
            self._publisher.close()
        await _finish(publishing)
        await self._settle()
        await self._reader.stop()
        _log.info("orchestrator.stopped", unpublished=self._publisher.waiting, **self.counts, **self._publisher.counts)

    async def step(self) -> None:
        """One batch: intake, decide, commit, publish."""
        inputs = await self._take()
        if inputs.empty and not self._may_start:
            await self._when_idle()
            return
        decided = await self._decide(inputs)
        if await self._commit(decided, inputs):
            if inputs.timers:
                failpoint("orchestrator.timers.after")
            if inputs.acts:
                failpoint("orchestrator.acts.after")
            if decided.batch.messages:
                await let_send()
        await self._steer(decided.batch.now)
        await self._upkeep.step(decided.batch.now, idle=False)

    async def _recover(self) -> None:
        self._decider.live(await self._store.life())
        writer = self._decider.writer
        await recovery.check_definitions(self._store, self._registry, writer, park_missing=self._park_missing)
        await self._outages.restore(self._store)
        await recovery.republish(self._store, self._publisher)
        failpoint("orchestrator.start.republished")
        await self._heed(Paused(await self._store.pauses()))
        await self._recount()
        self._intake.stored = await self._store.offsets()
        failpoint("orchestrator.start.reading")
        await self._reader.start(self._intake.stored)

    async def _take(self) -> Inputs:
        if self._publisher.full:
            # Nothing more is taken in while nothing goes out: what is read stays in Kafka, not on our disk (I20).
            await self._clock.sleep(ACTS_INTERVAL_MS)
            return Inputs(self._store.now())
        records = await self._reader.poll(self._poll_timeout_ms(), POLL_RECORDS_MAX)
        if records:
            failpoint("orchestrator.poll.after")
        inputs = Inputs(self._store.now())
        for reset in self._reader.take_resets():
            self.counts[f"position_reset_{reset.reason}"] += 1  # the consumer has said so already
            self._intake.reset(reset, inputs)
        self._intake.read(records, inputs)
        if self._publisher.unsent:
            inputs.unsent = self._publisher.take_unsent()
        inputs.timers = await self._timers.due(inputs.now)
        if inputs.timers:
            failpoint("orchestrator.timers.before")
        if inputs.now - self._acts_read_at >= ACTS_INTERVAL_MS:
            await self._heed(
                Paused(
                    await self._store.pauses(), choked_types(self._publisher.held_topics, self._registry, self._topics)
                )
            )  # another replica may have changed them
            inputs.acts = await self._store.waiting_acts(ACTS_PER_BATCH_MAX)
            self._acts_read_at = inputs.now
            if inputs.acts:
                failpoint("orchestrator.acts.before")
        return inputs

    def _poll_timeout_ms(self) -> int:
        if self._upkeep.eager or self._may_start:
            return 0
        wake_at = self._timers.next_wake_at
        if wake_at is None:
            return ACTS_INTERVAL_MS
        return max(GATED_POLL_MS, min(ACTS_INTERVAL_MS, wake_at - self._store.now()))

    @property
    def _may_start(self) -> bool:
        """Whether sagas wait for room only, and there is some."""
        admission = self._admission
        if admission.held and admission.room_to_go_on and admission.releasable(self._paused.holding):
            return True
        return bool(admission.pending and admission.room)

    async def _decide(self, inputs: Inputs) -> Decided:
        room = self._admission.room
        release = await self._releasable(self._admission.room_to_go_on) if self._admission.held else []
        admit = await self._store.pending(room, self._paused.types) if room and self._admission.pending else []
        if len(admit) < min(room, self._admission.pending):
            await self._recount()  # somebody else admitted them
        asked = dict.fromkeys(inputs.refs())
        known = await self._store.load(asked | dict.fromkeys([*admit, *release]))
        unknown = [ref for ref in asked if ref not in known]
        purged = await self._store.load_purged(unknown) if unknown else {}
        return self._decider.decide(
            inputs,
            known,
            purged,
            admit=admit,
            room=room,
            published_by=self._published_by,
            paused=self._paused,
            release=release,
        )

    async def _releasable(self, room: int) -> list[SagaRef]:
        """As many sagas as there is room for, of those whose pause was lifted."""
        found: list[SagaRef] = []
        for scope in self._admission.releasable(self._paused.holding) if room else ():
            refs = await self._store.held(scope, room - len(found))
            if len(refs) < min(room - len(found), self._admission.held[scope]):
                await self._recount()  # somebody else released them
            found += refs
            if len(found) >= room:
                break
        return found

    async def _heed(self, paused: Paused) -> None:
        """Take over what is paused now."""
        if paused == self._paused:
            return
        self._paused = paused
        await self._recount()
        _log.info("pauses.changed", paused=sorted(paused.all))

    def _published_by(self, topic: str, decided_at: int) -> int | None:
        if topic in self._publisher.held_topics:
            return self._store.now()  # not before now: the wait begins again
        oldest = self._publisher.oldest_unpublished_at
        if oldest is not None and oldest <= decided_at:
            return None
        return max(self._outages.ended_at, decided_at)

    async def _commit(self, decided: Decided, inputs: Inputs) -> bool:
        """Write the batch; false where somebody else was first, and nothing was written."""
        batch = decided.batch
        batch.published = self._publisher.take_published()
        if inputs.unsent:
            batch.rewritten = self._publisher.rewritten(inputs.unsent, batch.published)
        batch.outage = self._outages.unstored
        try:
            outbox_id = await self._store.commit(batch)
        except ConflictError as error:
            self._publisher.give_back(batch.published, inputs.unsent)
            await self._read_again(error)
            return False
        failpoint("orchestrator.commit.after")
        self._outages.stored(batch.outage)
        if outbox_id is not None:
            self._publisher.add(OutboxRow(outbox_id, batch.now, batch.messages))
        for tp, step in batch.offsets.items():
            self._intake.stored[tp] = step.next
        for before, saga in decided.moved:
            self._admission.moved(before, saga)
            self._timers.armed(saga.wake_at)
        await self._heed(decided.paused)
        self.counts.update(decided.counts)
        if batch.offsets:
            failpoint("orchestrator.hint.before")
            self._reader.commit_hint({tp: step.next for tp, step in batch.offsets.items()}, self._store.store_id)
        self._active_at = batch.now
        _log.debug(
            "batch.committed",
            started=len(batch.started),
            changed=len(batch.changed),
            messages=len(batch.messages),
            state=repr(self._admission),
        )
        return True

    async def _read_again(self, error: ConflictError) -> None:
        """Somebody else was first: forget the batch, and go on from where the store is now (R23)."""
        _log.warning("batch.conflict", error=str(error))
        self._drain.undone()
        await self._recount()
        self._intake.stored = await self._store.offsets()
        for tp, offset in (await self._reader.positions(self._topics_read())).items():
            self._reader.seek(tp, self._intake.stored.get(tp, self._intake.begun_at.get(tp, offset)))

    def _topics_read(self) -> tuple[str, ...]:
        return self._intake.request_topics + self._intake.reply_topics

    async def _recount(self) -> None:
        types = self._paused.types
        self._admission.begin(
            await self._store.count_states(),
            await self._store.count_held(),
            paused_types=types,
            pending_of_them=await self._store.count_pending_of(types) if types else 0,
        )
        self._recounted_at = self._store.now()

    async def _steer(self, now: int) -> None:
        """Pause or resume the request partitions; replies and timers are never held back (R20)."""
        held = self._publisher.held_topics
        if held or self._admission.unsendable:
            self._admission.unsendable = self._publisher.held_commands
        self._admission.adjust(now, partial(is_held, held, self._registry, self._topics) if held else None)
        if not self._admission.room and now - self._recounted_at >= RECOUNT_INTERVAL_MS:
            await self._recount()  # sagas that another replica finished hold no place
        choked = self._upkeep.choked
        wanted = self._admission.request_wanted and not choked
        if wanted:
            self._requests_paused = False
        elif choked or not self._admission.room:
            self._requests_paused = True
        paused = self._paused.request_topics(self._topics, self._registry) if self._paused.types else _NO_TOPICS
        closed = frozenset(self._intake.request_topics) if self._requests_paused else paused
        if closed != self._closed:
            if self._closed - closed:
                self._reader.resume(self._closed - closed)
            if closed - self._closed:
                self._reader.pause(closed - self._closed)
            self._closed = closed

    async def _when_idle(self) -> None:
        now = self._store.now()
        await self._steer(now)
        if now - self._active_at >= IDLE_FLUSH_MS or self._outages.unstored:
            await self._settle()
        await self._upkeep.step(now, idle=True)

    async def _settle(self) -> None:
        """Store what a next batch would have stored, where none comes."""
        batch = Batch(self._store.now(), published=self._publisher.take_published(), outage=self._outages.unstored)
        if batch.published or batch.outage:
            failpoint("orchestrator.outbox.before")
            await self._store.commit(batch)
            failpoint("orchestrator.outbox.after")
            self._outages.stored(batch.outage)


async def _finish(publishing: asyncio.Task[None]) -> None:
    """Give the publisher a while to hand over the last batch; the outbox keeps what it cannot."""
    await asyncio.wait([publishing], timeout=STOP_TIMEOUT_MS / 1000)
    publishing.cancel()
