"""The engine: one loop that takes what has come, decides it, commits it, and hands it to the publisher.

Latency and throughput come from the same code: an idle loop takes a lone message at once; under load batches grow
by themselves, because more arrives while one is being committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from kafka_saga.messaging.outlet import Sender
from kafka_saga.messaging.waiting import let_send
from kafka_saga.orchestrator.engine import recovery
from kafka_saga.orchestrator.engine.decide import Decided, Decider
from kafka_saga.orchestrator.engine.holds import choked_types, is_held
from kafka_saga.orchestrator.engine.inputs import Inputs
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.engine.ladder import Ladder
from kafka_saga.orchestrator.engine.meters import EngineMeters
from kafka_saga.orchestrator.engine.outages import Outages
from kafka_saga.orchestrator.engine.ownership import Ownership, Owning, Parts, SoleOwner
from kafka_saga.orchestrator.engine.pauses import NOTHING, Paused
from kafka_saga.orchestrator.engine.publish import Publisher, finished
from kafka_saga.orchestrator.engine.reader import Reader
from kafka_saga.orchestrator.engine.upkeep import Retention, Upkeep
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.port import Batch, OutboxRow, Store
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.limits import ACTS_PER_BATCH_MAX, IN_FLIGHT_MAX, POLL_RECORDS_MAX
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

_NO_TOPICS: frozenset[str] = frozenset()

FOR_EVER = Retention()


class Engine:
    """Advances sagas.

    Args:
        store, reader, sender: the ports; the composition root chooses their adapters.
        registry: the definitions.
        topics: how topics are called.
        group: the consumer group of the offset hints and dead letters.
        chance: a number from 0 up to 1, a new one at each call: for rests between tries (R67).
        in_flight_max: how many sagas run at once (R20).
        park_missing: park sagas whose version no code has, instead of refusing to start (R30).
        retention: for how long what has ended is kept (R29).
        owning: whether it is the store's one owner, or shares it (`replica.sharing`).
        meters: count what is committed.
        on_ready: called when it begins to work.

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
        chance: Callable[[], float],
        in_flight_max: int = IN_FLIGHT_MAX,
        park_missing: bool = False,
        retention: Retention = FOR_EVER,
        owning: Owning = SoleOwner,
        meters: EngineMeters | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._meters = meters
        self._on_ready = on_ready
        self._store = store
        self._reader = reader
        self._registry = registry
        self._topics = topics
        self._clock = clock
        self._group = group
        self._park_missing = park_missing
        self._intake = Intake(registry=registry, topics=topics, group=group)
        self._decider = Decider(registry=registry, topics=topics, intake=self._intake)
        self._decider.spans = None if meters is None else meters.spans
        self._outages = Outages(store.now)
        self._publisher = Publisher(sender=sender, clock=clock, now=store.now, outages=self._outages)
        self.counts: Counter[str] = Counter()
        """What happened since the start, by name."""
        self._ladder = Ladder(store=store, reader=reader, intake=self._intake, clock=clock, chance=chance)
        self._ownership = owning(
            Parts(
                store=store,
                reader=reader,
                clock=clock,
                intake=self._intake,
                publisher=self._publisher,
                outages=self._outages,
                ladder=self._ladder,
                counts=self.counts,
                in_flight_max=in_flight_max,
            )
        )
        self._admission, self._timers = self._ownership.admission, self._ownership.timers
        self._upkeep = Upkeep(store, clock, retention)
        self._acts_read_at = 0
        self._recounted_at = 0
        self._active_at = 0
        self._requests_paused = False
        self._paused = NOTHING
        self._closed: frozenset[str] = frozenset()
        """The request topics that are not read for now."""
        self.turned_at_ms = clock.monotonic_ms()
        """When the store last answered, or was not to be asked: what a health check looks at."""

    @property
    def parts(self) -> tuple[Publisher, Ownership]:
        """What health checks and gauges look at."""
        return self._publisher, self._ownership

    def now(self) -> int:
        """The store's clock."""
        return self._store.now()

    def __repr__(self) -> str:
        return f"Engine({self._admission}, {self._publisher}, {self._timers}, {dict(self.counts)})"

    async def run(self, lifecycle: Lifecycle) -> None:
        """Advance sagas until `lifecycle` stops; the batch in hand is finished and published."""
        await self._recover(lifecycle)
        publishing = lifecycle.spawn(self._publisher.run(), "publisher")
        _log.info("orchestrator.ready", store=self._store.store_id, sagas=self._registry.saga_types, group=self._group)
        self._on_ready()
        try:
            while not lifecycle.stopping.is_set():
                await self.step()
        except asyncio.CancelledError:
            publishing.cancel()  # stopped at once: what was decided is published by whoever comes next
            raise
        finally:
            await self._ownership.stop()
            self._publisher.close()
        await finished(publishing)
        await self._settle()
        await self._ownership.end()
        _log.info("orchestrator.stopped", unpublished=self._publisher.waiting, **self.counts, **self._publisher.counts)

    async def step(self) -> None:
        """One batch: intake, decide, commit, publish."""
        if self._ownership.has_news:
            await self._ownership.attend()
        inputs = self._ladder.next() or await self._take()
        self.turned_at_ms = self._clock.monotonic_ms()
        if inputs.empty and not self._may_start and not self._ownership.must_write:
            await self._when_idle()
            return
        try:
            decided = await self._advance(inputs)
        except ConflictError as error:
            await self._undo(inputs, error)
        else:
            self._ladder.succeeded()
            if inputs.timers:
                failpoint("orchestrator.timers.after")
            if inputs.acts:
                failpoint("orchestrator.acts.after")
            if decided.batch.messages:
                await let_send()
        await self._steer(inputs.now)
        await self._upkeep.step(inputs.now, idle=False)

    async def _recover(self, lifecycle: Lifecycle) -> None:
        left = await self._ownership.begin(lifecycle)
        self._decider.live(await self._store.life())
        writer = self._decider.writer
        recovery.republish(left, self._publisher)
        await recovery.check_definitions(
            self._store, self._registry, writer, self._publisher, park_missing=self._park_missing
        )
        await self._outages.restore(self._store)
        failpoint("orchestrator.start.republished")
        await self._heed(Paused(await self._store.pauses()))
        await self._recount()
        failpoint("orchestrator.start.reading")
        await self._ownership.start_reading()

    async def _take(self) -> Inputs:
        if self._ownership.full:
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
            await self._read_pauses()  # another replica may have changed them
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

    async def _advance(self, inputs: Inputs) -> Decided:
        """Decide a batch and write it.

        Raises:
            ConflictError: somebody else was first, and nothing was written.

        """
        room = self._admission.room
        release = await self._releasable(self._admission.room_to_go_on) if self._admission.held else []
        admit = await self._store.pending(room, self._paused.types) if room and self._admission.pending else []
        if len(admit) < min(room, self._admission.pending):
            await self._ownership.count_short(self._paused)  # somebody else admitted them, or will
        inputs.published = self._publisher.take_published()
        asked = dict.fromkeys(inputs.refs())
        wanted = asked | dict.fromkeys([*admit, *release])
        async with self._ladder.hold(wanted):
            known = await self._store.load(wanted)
            unknown = [ref for ref in asked if ref not in known]
            purged = await self._store.load_purged(unknown) if unknown else {}
            decided = self._decider.decide(
                inputs,
                known,
                purged,
                admit=admit,
                room=room,
                published_by=self._ownership.published_by,
                paused=self._paused,
                release=release,
            )
            if self._meters is not None:
                self._meters.decided(decided)
            await self._commit(decided, inputs)
        return decided

    async def _releasable(self, room: int) -> list[SagaRef]:
        """As many sagas as there is room for, of those whose pause was lifted."""
        found: list[SagaRef] = []
        for scope in self._admission.releasable(self._paused.holding) if room else ():
            refs = await self._store.held(scope, room - len(found))
            if len(refs) < min(room - len(found), self._admission.held[scope]):
                await self._ownership.count_short(self._paused)  # somebody else released them, or will
            found += refs
            if len(found) >= room:
                break
        return found

    async def _read_pauses(self) -> None:
        choked = choked_types(self._publisher.held_topics, self._registry, self._topics)
        await self._heed(Paused(await self._store.pauses(), choked))

    async def _heed(self, paused: Paused) -> None:
        """Take over what is paused now."""
        if paused == self._paused:
            return
        self._paused = paused
        await self._recount()
        _log.info("pauses.changed", paused=sorted(paused.all))

    async def _commit(self, decided: Decided, inputs: Inputs) -> None:
        batch = decided.batch
        batch.published = inputs.published
        if inputs.unsent:
            batch.rewritten = self._publisher.rewritten(inputs.unsent, batch.published)
        batch.outage = self._outages.unstored
        self._ownership.prove(batch, decided)
        outbox_id = await self._store.commit(batch)
        failpoint("orchestrator.commit.after")
        self._outages.stored(batch.outage)
        if outbox_id is not None:
            self._publisher.add(OutboxRow(outbox_id, batch.now, batch.messages))
        for tp, step in batch.offsets.items():
            self._intake.stored[tp] = step.next
        for before, saga in decided.moved:
            self._admission.moved(before, saga)
            self._timers.armed(saga.wake_at)
        self._ownership.committed()
        await self._heed(decided.paused)
        self.counts.update(decided.counts)
        if self._meters is not None:
            self._meters.committed(decided, inputs)
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

    async def _undo(self, inputs: Inputs, error: ConflictError) -> None:
        """Nothing was written, mostly since somebody else was first: try again (R67)."""
        if self._meters is not None:
            self._meters.undone(error)
        self._publisher.give_back(inputs.published, inputs.unsent)
        self._ownership.lost(error)
        self._acts_read_at = 0
        await self._read_pauses()
        await self._recount()
        await self._ladder.failed(inputs, error)

    async def _recount(self) -> None:
        await self._ownership.count(self._paused)
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
        if now - self._active_at >= self._ownership.flush_ms or self._outages.unstored:
            await self._settle()
        await self._upkeep.step(now, idle=True)

    async def _settle(self) -> None:
        """Store what a next batch would have stored, where none comes."""
        batch = Batch(self._store.now(), published=self._publisher.take_published(), outage=self._outages.unstored)
        if not batch.published and not batch.outage:
            return
        failpoint("orchestrator.outbox.before")
        try:
            await self._store.commit(batch)
        except ConflictError as error:
            self._publisher.give_back(batch.published, ())
            self._ownership.lost(error)
            await self._read_pauses()
            return
        failpoint("orchestrator.outbox.after")
        self._outages.stored(batch.outage)
