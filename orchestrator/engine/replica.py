"""One of several engines on one store (R60-R75): its life, its partitions and lanes, and whom it follows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.decide import Decided
from kafka_saga.orchestrator.engine.drain import Drain
from kafka_saga.orchestrator.engine.handover import Handover, lanes_of
from kafka_saga.orchestrator.engine.lives import Judge
from kafka_saga.orchestrator.engine.ownership import Owning, Parts
from kafka_saga.orchestrator.engine.pauses import Paused
from kafka_saga.orchestrator.engine.reader import GroupReader
from kafka_saga.orchestrator.engine.shared_admission import SharedAdmission, changes
from kafka_saga.orchestrator.engine.shared_timers import OwnReplies, SharedTimers
from kafka_saga.orchestrator.store.members import Joining, Lanes, Members, Peer
from kafka_saga.orchestrator.store.port import Batch, OutboxRow
from kafka_saga.runtime.errors import BrokerUnavailableError, ConflictError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.limits import BEAT_MS, LEASE_MS, OUTBOX_MESSAGES_MAX
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.reminding import Reminder
from kafka_saga.runtime.telemetry import log

_log = log("replica")
_T = TypeVar("_T")

FLUSH_MS = 250
"""Others' timers wait for it: a published row that is still in the outbox might not be published (R70)."""

NAMESAKE_LOOKS = 4
NAMESAKE_LOOK_MS = 500
"""A start watches for two seconds whether who has its name is alive: it beats every second."""


def sharing(members: Members, reader: GroupReader, handover: Handover, joining: Joining) -> Owning:
    """For `Engine`: share the store with other replicas; `handover` is the owner that `reader` tells of partitions."""

    def owning(parts: Parts) -> Replica:
        handover.to = replica = Replica(parts, members, reader, joining)
        return replica

    return owning


class Replica:
    """`Ownership` of the partitions that the group assigns, and of the lanes that go with them."""

    flush_ms = FLUSH_MS

    def __init__(self, parts: Parts, members: Members, reader: GroupReader, joining: Joining) -> None:
        self._parts = parts
        self._members = members
        self._reader = reader
        self._joining = joining
        self._clock = parts.clock
        self._first_topic = min(parts.intake.reply_topics)
        self._replies = OwnReplies(reader)
        drain = Drain(
            store=parts.store,
            reader=self._replies,
            reply_topics=parts.intake.reply_topics,
            outages=parts.outages,
            counts=parts.counts,
        )
        self._drain = drain
        self.timers = SharedTimers(
            store=parts.store,
            members=members,
            replies=self._replies,
            drain=drain,
            intake=parts.intake,
            publisher=parts.publisher,
            outages=parts.outages,
            lanes=lambda: self._lanes,
        )
        self.admission = SharedAdmission(parts.in_flight_max, members, parts.store.now)
        self._judge = Judge()
        self._owned: frozenset[TopicPartition] = frozenset()
        self._lanes = Lanes()
        self._inherited: deque[OutboxRow] = deque()
        self._is_over = False
        """Whether our life was declared dead: nothing of it holds any more."""
        self._has_lost = False
        """Whether we gave our partitions away, maybe in the middle of a batch: what is left of it is not ours."""
        self._away = asyncio.Event()
        """Set while we have left the group, because we do not reach the store."""
        self._beaten_at_ms = 0
        self._silence = Reminder(BEAT_MS)
        self._beats: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Replica({self._members.replica}, lanes={sorted(self._lanes.mine)} of {self._lanes.count})"

    @property
    def has_news(self) -> bool:
        is_other = self._members.lanes != self._lanes.count
        return bool(self._inherited or self._is_over or self._has_lost or is_other)

    @property
    def speaks_for_store(self) -> bool:
        return self._lanes.has_first

    @property
    def must_write(self) -> bool:
        return self.timers.has_drained or self._wants_lanes is not None

    @property
    def full(self) -> bool:
        """All replicas' messages together must not fill the store (I20)."""
        publisher = self._parts.publisher
        return publisher.full or self._members.sums.unsent - publisher.held >= OUTBOX_MESSAGES_MAX

    async def begin(self, lifecycle: Lifecycle) -> list[OutboxRow]:
        left = await self._join()
        self._beats = lifecycle.spawn(self._keep_beating(), "beats")
        return left

    async def start_reading(self) -> None:
        await self._reader.start({})

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These partitions are ours, and no others: where each is to be read on.

        Raises:
            StoreUnavailableError: it does not answer, and we leave them to others again.

        """
        stored = await self._unless_away(self._parts.store.offsets())
        self._take_over(partitions)
        self._parts.intake.stored = stored
        return {tp: stored[tp] for tp in partitions if tp in stored}

    async def revoked(self, _partitions: frozenset[TopicPartition], /) -> None:
        """Nothing is ours."""
        self._take_over(frozenset())

    async def attend(self) -> None:
        if self._is_over:
            await self._begin_anew()
        while self._inherited:
            self._parts.publisher.add(self._inherited.popleft(), may_be_out=True)
        if self._has_lost:
            self._has_lost = False
            self._parts.ladder.drop()
        if self._members.lanes != self._lanes.count:
            self._own_lanes()

    async def count(self, paused: Paused) -> None:
        self.admission.begin({}, await self._parts.store.count_held(), paused_types=paused.types)
        self.admission.take()

    async def count_short(self, paused: Paused) -> None:
        await self.count(paused)
        self.admission.rest()

    def published_by(self, topic: str, decided_at: int) -> int | None:
        return self.timers.published_by(topic, decided_at)

    def prove(self, batch: Batch, decided: Decided | None) -> None:
        self.timers.prove(batch)
        if decided is not None:
            batch.in_flight, batch.pending = changes(decided.moved)
        batch.lanes = self._wants_lanes

    @property
    def _wants_lanes(self) -> int | None:
        """How many lanes there must be, where there are not as many as partitions: some would have no owner."""
        partitions = self._replies.counts.get(self._first_topic)
        return partitions if self._lanes.has_first and partitions != self._lanes.count else None

    def committed(self) -> None:
        self.timers.committed()
        self.admission.take()

    def lost(self, error: ConflictError) -> None:
        self._drain.undone()
        if error.what == "life":
            self._is_over = True

    async def stop(self) -> None:
        await self._drain.stop()

    async def end(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
        await self._leave()
        await self._reader.stop()

    async def _join(self) -> list[OutboxRow]:
        """Begin a life; what ended lives have left to be published.

        Raises:
            StoreRefusedError: a replica of our name is alive.

        """
        while True:
            await self._members.join(self._joining)
            still = await self._watch_namesakes()
            try:
                for peer in still:
                    await self._bury(peer)
                left = await self._members.inherit()
            except ConflictError as error:  # we were away for long meanwhile
                _log.warning("replica.life_over", life=self._members.replica, error=str(error))
                continue
            self._is_over = False
            _log.info("replica.joined", name=self._joining.name, life=self._members.replica)
            return left

    async def _watch_namesakes(self) -> list[Peer]:
        """Earlier lives of our name whose beat stands still.

        Raises:
            StoreRefusedError: one of them moves. Of two that start together the later is refused.

        """
        peers = await self._peers()
        self.admission.replicas = len(peers)
        seen = {peer.replica: peer for peer in self._namesakes(peers)}
        for _ in range(NAMESAKE_LOOKS if seen else 0):
            await self._clock.sleep(NAMESAKE_LOOK_MS)
            for peer in self._namesakes(await self._peers()):
                if peer.replica in seen and peer.beat != seen[peer.replica].beat:
                    await self._leave()
                    raise StoreRefusedError(
                        f"a replica named '{peer.name}' is alive on this store: give this one a name of its own "
                        "(SAGA_REPLICA)"
                    )
        return list(seen.values())

    async def _leave(self) -> None:
        try:
            await self._members.leave()
        except StoreUnavailableError as error:
            _log.warning("replica.left_unsaid", error=str(error), why="others will see that its beat stands still")

    async def _bury(self, peer: Peer) -> None:
        try:
            if await self._members.bury(peer):
                _log.warning("replica.declared_dead", name=peer.name, life=peer.replica)
        except StoreUnavailableError as error:
            _log.warning("replica.beat_failed", error=str(error), why="it is tried again")

    def _namesakes(self, peers: Iterable[Peer]) -> list[Peer]:
        """Earlier lives of our name."""
        own = self._members.replica
        return [peer for peer in peers if peer.name == self._joining.name and peer.replica < own]

    async def _peers(self) -> tuple[Peer, ...]:
        while True:
            try:
                peers = await self._members.beat(self.admission.window)
            except StoreUnavailableError:
                await self._clock.sleep(NAMESAKE_LOOK_MS)
            else:
                self._beaten_at_ms = self._clock.monotonic_ms()
                return peers

    async def _keep_beating(self) -> None:
        """Every second, whatever the engine does; without the store for the lease, leave our partitions to others."""
        beating: asyncio.Task[None] | None = None
        while True:
            began_ms = self._clock.monotonic_ms()
            beating = beating or asyncio.create_task(self._beat(), name="replica.beat")
            await asyncio.wait({beating}, timeout=BEAT_MS / 1000)
            if beating.done():
                beating.result()
                beating = None
            now_ms = self._clock.monotonic_ms()
            if now_ms - self._beaten_at_ms >= LEASE_MS and not self._away.is_set():
                self._has_lost = True
                self._away.set()
                _log.error("replica.left_group", why="the store does not answer", for_ms=now_ms - self._beaten_at_ms)
                await self._reader.leave()
            await self._clock.sleep(max(0, BEAT_MS - (now_ms - began_ms)))

    async def _beat(self) -> None:
        """One beat, and what it shows."""
        own = self._members.replica
        try:
            peers = await self._members.beat(self.admission.window)
            self._beaten_at_ms = now_ms = self._clock.monotonic_ms()
            self._silence.ended(now_ms)
            if own != self._members.replica:
                return  # a new life began meanwhile
            if own not in {peer.replica for peer in peers}:
                self._is_over = True
                return
            await self._follow(self._judge.look(peers, own, now_ms))
        except ConflictError as error:
            self.lost(error)
        except StoreUnavailableError as error:
            if self._silence.goes_on(self._clock.monotonic_ms()):
                _log.warning("replica.beat_failed", error=str(error))
            return
        self.admission.replicas = self._judge.beating
        self._reader.share(self._judge.beating)
        self.admission.take()
        if self._away.is_set():
            await self._come_back()

    async def _come_back(self) -> None:
        try:
            await self._reader.rejoin()
        except BrokerUnavailableError as error:
            _log.warning("replica.not_back", error=str(error))  # the next beat tries it again
        else:
            self._away.clear()

    async def _unless_away(self, asking: Coroutine[Any, Any, _T]) -> _T:
        """The answer of the store, but nobody waits for it who leaves the group."""
        answer, away = asyncio.ensure_future(asking), asyncio.ensure_future(self._away.wait())
        try:
            await asyncio.wait({answer, away}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise StoreUnavailableError("the store does not answer: others read for it")
            return answer.result()
        finally:
            answer.cancel()
            away.cancel()

    async def _follow(self, dead: Iterable[Peer]) -> None:
        for peer in dead:
            await self._bury(peer)
        self._inherited += await self._members.inherit()

    async def _begin_anew(self) -> None:
        """Nothing of the life that is over holds: rows in memory, what was to be published, what was asked.

        Records in hand are decided anew: whether they were committed is told by the stored offsets.
        """
        _log.warning("replica.life_over", life=self._members.replica)
        self._inherited.clear()
        self._parts.publisher.forget()
        self._judge = Judge()
        self._inherited += await self._join()
        self.timers.reset()
        self._own_lanes()

    def _take_over(self, owned: frozenset[TopicPartition]) -> None:
        """Decide nothing any more from what was known of other partitions, or of these before."""
        parts = self._parts
        self._owned = owned
        parts.ladder.drop()
        self.timers.reset()
        self._replies.owned = frozenset(tp for tp in owned if tp.topic in parts.intake.reply_topics)
        self._own_lanes()
        _log.info("replica.owns", partitions=len(owned), lanes=sorted(self._lanes.mine), of=self._lanes.count)

    def _own_lanes(self) -> None:
        self.admission.forget()
        self._lanes = lanes_of(self._owned, self._first_topic, self._members.lanes)
        self._members.own(self._lanes)
