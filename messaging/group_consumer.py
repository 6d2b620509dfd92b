"""Reading as a member of a consumer group (R60): Kafka says which partitions, the owner's store says from where.

Static membership and the range assignor: who comes back under the same name within the session timeout gets the same
partitions without a rebalance, and partition 3 of every topic is one member's. What Kafka has committed is a hint for
lag tools and never a position. aiokafka rebalances in a task of its own; here it waits for the owner's next `poll`,
which tells the owner in the owner's task: nothing is taken away in the middle of a batch, but for one that takes
too long, and what such a batch writes meets the stored offsets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka_errors
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

from kafka_saga.messaging.changes import Changes
from kafka_saga.messaging.claims import Claimant, Unclaimed, claim_of
from kafka_saga.messaging.cluster import Cluster, Committed
from kafka_saga.messaging.consumer import FETCH_WAIT_MS, Consumer
from kafka_saga.messaging.errors import NotAllowedError
from kafka_saga.messaging.fetching import GATHER_MS, GATHER_MS_MAX, GroupMember, connect
from kafka_saga.messaging.hints import CommitHints
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.waiting import abandon, describe, within
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, ConflictError, UnavailableError
from kafka_saga.runtime.telemetry import log

_log = log("group")


class PartitionOwner(Protocol):
    """Who reads, and keeps the positions. Both are called inside `poll`, in the task that polls."""

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These are ours from now on; the next offset of each that the store has one of.

        Raises:
            UnavailableError: the store does not answer; it is asked again by a later poll.

        """
        ...

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These are not ours any more: finish what is in hand of them and write how far it got; others wait."""
        ...


class GroupConsumer(Consumer):
    """As `Consumer`, but for the partitions that are its, which come and go."""

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Iterable[str],
        *,
        group: str,
        member: str,
        owner: PartitionOwner | None = None,
        claimant: Claimant | None = None,
        clock: Clock | None = None,
        fetch_wait_ms: int = FETCH_WAIT_MS,
        session_timeout_ms: int = limits.SESSION_TIMEOUT_MS,
    ) -> None:
        """Nothing is sent before `start`.

        Args:
            settings: how to reach Kafka.
            topics: what the group reads.
            group: its name.
            member: this process's name in it (`group.instance.id`); no two may have the same.
            owner: is told of partitions that come and go; to be set before the first poll where it is not given.
            claimant: the store that all members of the group have in common; a group of another's is refused.
            clock: the machine's when not given.
            fetch_wait_ms: how long the broker may hold back an empty answer.
            session_timeout_ms: after this long without a word a member's partitions go to the others.

        """
        super().__init__(settings, topics, group=group, clock=clock, fetch_wait_ms=fetch_wait_ms)
        self._member = GroupMember(group, member, session_timeout_ms, limits.HEARTBEAT_INTERVAL_MS)
        self.owner = owner
        self._claimant = claimant
        self._shared_claim = claim_of(self._cluster, group, claimant, self._clock)
        self._hints = CommitHints(_AsMember(self, self._cluster), group, self._clock, Unclaimed())
        self._changes = Changes(None)
        self._gather_ms: float = GATHER_MS
        self._is_member = False
        self._has_left = False
        """Whether it is outside because `leave` was called."""
        self._turn = asyncio.Lock()
        """Leaving and joining, one at a time: whoever is asked to leave may be joining again just then."""

    async def start(self, positions: Mapping[TopicPartition, int] | None = None) -> None:
        """Join the group. Partitions come with one of the next polls, and their positions from the owner.

        Raises:
            UnknownTopicError: topics that do not exist; it names them all.
            StoreRefusedError: the group is another store's.
            BrokerUnavailableError: no broker answers.

        """
        assert not positions, "the owner tells positions when partitions are assigned"
        self._embedded = not await self._cluster.administers_topics()
        await self._shared_claim.check(await self._partitions())
        await self.rejoin()

    async def stop(self) -> None:
        """As `Consumer.stop`. The group is not left: who comes back under this name finds its partitions waiting."""
        self._changes.let_go()
        await super().stop()

    async def leave(self) -> None:
        """Give all partitions to the other members at once; `rejoin` comes back. The owner is told of it.

        Also while another task polls, or asks for positions: there are none until then.
        """
        async with self._turn:
            self._has_left = True
            if not self._is_member:
                return
            self._is_member = False
            consumer = self._running()
            await self._let_go()
            coordinator = consumer._coordinator  # noqa: SLF001 -- aiokafka has a static member never leave
            request = LeaveGroupRequest(self._group, coordinator.member_id)
            consumer.unsubscribe()
            try:
                sent = coordinator._send_req(request)  # noqa: SLF001
                await within(limits.REQUEST_TIMEOUT_MS, "leaving the group", sent)
            except BrokerUnavailableError as error:
                _log.warning("group.not_left", group=self._group, error=str(error))
            try:
                await within(limits.STOP_TIMEOUT_MS, "closing the consumer", consumer.stop())
            except BrokerUnavailableError as error:
                _log.warning("consumer.stop_abandoned", error=str(error))
            _log.info("group.left", group=self._group, member=self._member.name)

    def share(self, members: int) -> None:
        """The group has so many: let what comes to this one gather for as many times longer.

        Else three make batches a third as large, each with a fetch, a commit and a publish, and carry a tenth less
        together than one alone.
        """
        self._gather_ms = min(GATHER_MS_MAX, GATHER_MS * members)
        if self._consumer is not None:
            self._consumer.gather_ms = self._gather_ms

    async def rejoin(self) -> None:
        """Take part again.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        self._has_left = False
        await self._join()

    async def _join(self) -> None:
        async with self._turn:
            if self._is_member or self._has_left:
                return
            consumer = await self._connect()
            consumer.gather_ms = self._gather_ms
            self._changes = Changes(consumer)
            consumer.subscribe(self._topics, listener=self._changes)
            self._consumer, self._is_member = consumer, True
            self._answered_at_ms = self._looked_at_ms = self._clock.monotonic_ms()

    @property
    def is_member(self) -> bool:
        """Whether it takes part: between `start` or `rejoin`, and `leave`."""
        return self._is_member

    @property
    def has_joined(self) -> bool:
        """Whether Kafka counts it in: it may read, though maybe no partition was left for it."""
        return self._is_member and self._running()._coordinator.generation > 0  # noqa: SLF001 -- nothing else tells

    async def poll(self, timeout_ms: int, records_max: int) -> list[Record]:
        """As `Consumer.poll`; what came of partitions that are not ours (any more) is dropped.

        Raises:
            ConflictError: another process is in the group under this one's name.
            StoreRefusedError: another store's process is in the group.

        """
        if not self._is_member:
            await self._wait_outside(timeout_ms)
            return []
        records = await super().poll(timeout_ms, records_max)
        return [] if self._changes.revoked.is_set() else records

    async def _fetch(self, timeout_ms: int, records_max: int) -> Mapping[KafkaPartition, list[Record]]:
        # `leave` may have come while the owner was told of partitions.
        return await super()._fetch(timeout_ms, records_max) if self._is_member else {}

    async def _wait_outside(self, timeout_ms: int) -> None:
        if not self._has_left and not self._stopped:
            try:
                await self._join()
            except BrokerUnavailableError as error:
                _log.warning("consumer.broker_away", error=str(error))
            else:
                return
        await self._clock.sleep(timeout_ms)

    async def _rebuild(self) -> None:
        """Begin anew as the same member."""
        async with self._turn:
            if not self._is_member:
                return
            self._is_member = False
            await self._let_go()
            abandon(asyncio.ensure_future(self._running().stop()))
        _log.warning("consumer.rebuilt", silent_ms=self.silent_ms)

    async def _recover(self, error: Exception, records_max: int) -> list[Record]:
        if _is_fenced(error):
            raise ConflictError(self._fenced()) from error
        if isinstance(error, kafka_errors.GroupAuthorizationFailedError):
            raise NotAllowedError(self._settings.principal, "Read", "group", self._group) from error
        return await super()._recover(error, records_max)

    def pause(self, topics: Iterable[str]) -> None:
        self._paused |= set(topics) & set(self._topics)
        self._running().pause(*(tp for tp in self._held() if tp.topic in self._paused))

    def resume(self, topics: Iterable[str]) -> None:
        self._paused -= set(topics)
        self._running().resume(*(tp for tp in self._held() if tp.topic not in self._paused))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset
            if partition in self._running().assignment():
                self._running().seek(KafkaPartition(*partition), offset)

    async def commit(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Tell Kafka how far the partitions are done that are ours, as a member of the group.

        Raises:
            BrokerUnavailableError: it does not answer, or rebalances just now.

        """
        ours = {KafkaPartition(*tp): at for tp, at in offsets.items() if tp in self._positions}
        if not ours or not self._is_member:
            return
        told = {tp: OffsetAndMetadata(at, metadata) for tp, at in ours.items()}
        try:
            await within(limits.REQUEST_TIMEOUT_MS, "committing offsets", self._running().commit(told))
        except kafka_errors.IllegalStateError as error:  # not ours any more
            raise BrokerUnavailableError(f"committing offsets: {describe(error)}") from error

    async def _connect(self) -> AIOKafkaConsumer:
        wait_ms = min(self._fetch_wait_ms, 10) if self._embedded else self._fetch_wait_ms
        return await connect(self._settings, self._topics, wait_ms, member=self._member)

    def _held(self) -> set[KafkaPartition]:
        """What is ours by both books: aiokafka's may be ahead of what the owner was told."""
        assigned: set[KafkaPartition] = self._running().assignment()
        return assigned & {KafkaPartition(*tp) for tp in self._positions}

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Back to our positions and pauses."""
        held = self._held()
        for tp in held:
            consumer.seek(tp, self._positions[TopicPartition(*tp)])
        consumer.pause(*(tp for tp in held if tp.topic in self._paused))

    async def _look_after(self, consumer: AIOKafkaConsumer) -> None:
        """Tell the owner what Kafka took and gave; once in a while see whether brokers still answer."""
        if self._changes.revoked.is_set():
            await self._let_go()
        if self._changes.assigned is not None:
            await self._take(consumer)
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._looked_at_ms < _LOOK_INTERVAL_MS:
            return
        self._looked_at_ms = now_ms
        active = [tp for tp in self._held() if tp.topic not in self._paused]
        last_answer = max((consumer.last_poll_timestamp(tp) or 0 for tp in active), default=None)
        if last_answer is None or last_answer != self._last_answer:
            self._last_answer, self._answered_at_ms = last_answer or 0, now_ms

    async def _let_go(self) -> None:
        partitions, self._positions = frozenset(self._positions), {}
        if partitions:
            _log.info("group.revoked", group=self._group, partitions=_named(partitions))
            await self._told().revoked(partitions)
        self._changes.let_go()

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        partitions, self._changes.assigned = self._changes.assigned, None
        assert partitions is not None, "something was assigned"
        _log.info("group.assigned", group=self._group, member=self._member.name, partitions=_named(partitions))
        self._positions, changes = {}, self._changes
        try:
            if self._claimant is not None and partitions:
                await self._shared_claim.check(partitions)
            positions = await self._told().assigned(partitions)
        except UnavailableError as error:
            _log.warning("group.taken_later", group=self._group, error=str(error))
            changes.put_back(partitions)  # for the next poll
            return
        try:
            if partitions and self._takes_part(consumer):
                await self._take_position(consumer, sorted(partitions), positions)
        except BrokerUnavailableError as error:
            _log.warning("group.taken_later", group=self._group, error=str(error))
            changes.put_back(partitions)
        if not self._takes_part(consumer) or changes.wait:  # asked to leave, or the group has changed again meanwhile
            self._positions = {}
            await self._told().revoked(partitions)
            return
        held = self._held()
        self._assign(consumer)
        consumer.resume(*(tp for tp in held if tp.topic not in self._paused))
        if self._claimant is not None:  # before the first effect: who reads for another store sees it (R22)
            self._hints.put(self._positions, self._claimant.store_id)

    def _told(self) -> PartitionOwner:
        assert self.owner is not None, "somebody must own what is read"
        return self.owner

    def _takes_part(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether this still is how we take part; who has left may be back with another one."""
        return self._is_member and self._consumer is consumer

    def _fenced(self) -> str:
        return (
            f"another process is in group {self._group} under the name '{self._member.name}': "
            "give each a name of its own, and start again"
        )


class _AsMember:
    """The offsets of a group, committed by a member of it: from anybody else a group that has some takes none."""

    def __init__(self, consumer: GroupConsumer, cluster: Cluster) -> None:
        self._consumer = consumer
        self._cluster = cluster

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int], metadata: str) -> None:  # noqa: ARG002 -- it has one
        await self._consumer.commit(offsets, metadata)

    async def committed_by(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        return await self._cluster.committed_by(group, partitions)


_LOOK_INTERVAL_MS = 1_000


def _is_fenced(error: BaseException) -> bool:
    """Whether the broker took another process for the member of our name: aiokafka has no class for that (#1186)."""
    return isinstance(error, kafka_errors.KafkaError) and kafka_errors.UnknownError.__name__ in str(error)


def _named(partitions: Iterable[TopicPartition]) -> list[str]:
    return [f"{topic}[{number}]" for topic, number in sorted(partitions)]
