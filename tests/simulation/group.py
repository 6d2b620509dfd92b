"""A consumer group: who of its members reads which partitions. Eager, by range, with static members, as aiokafka's.

All partitions are taken away before any is given anew; a member that says nothing for ten seconds is out; one that
comes back by its name before that gets its partitions again, and who had the name is fenced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.group_consumer import PartitionOwner
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.survey import Extent
from kafka_saga.runtime.errors import BrokerUnavailableError, StoreRefusedError, UnavailableError
from kafka_saga.runtime.limits import HEARTBEAT_INTERVAL_MS, REVOKE_TIMEOUT_MS, SESSION_TIMEOUT_MS
from tests.simulation.broker import SimBroker, SimRecord
from tests.simulation.clients import SimConsumer

REBALANCE_TIMEOUT_MS = 13_000
"""So long the group waits for members that have not come back."""

LOOK_MS = 500
METADATA_MS = 5_000


@dataclass(eq=False)
class Member:
    """One member, as the coordinator knows it."""

    name: str
    heard_ms: int
    owned: frozenset[TopicPartition] = frozenset()
    has_joined: bool = False
    is_fenced: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class SimGroup:
    """The coordinator."""

    def __init__(self, broker: SimBroker, topics: Iterable[str], *, overlapping: bool) -> None:
        """`overlapping`: every member is given every partition, as if two groups read for one store."""
        self._broker = broker
        self._topics = sorted(set(topics))
        self._overlapping = overlapping
        self._members: dict[str, Member] = {}
        self._began_ms: int | None = None
        """Since when it rebalances; None while it does not."""
        self._given: list[TopicPartition] = []
        self._watched_ms = 0

    async def run(self) -> None:
        """Expire sessions, and give partitions anew when topics grow; for ever."""
        while True:
            await self._broker.clock.sleep(LOOK_MS)
            now_ms = self._broker.clock.monotonic_ms()
            if not self._broker.up.is_set():
                for member in self._members.values():
                    member.heard_ms = now_ms
                continue
            for member in list(self._members.values()):
                if now_ms - member.heard_ms > SESSION_TIMEOUT_MS:
                    self._remove(member)
            if now_ms - self._watched_ms >= METADATA_MS:
                self._watched_ms = now_ms
                if self._members and self._began_ms is None and self._every() != self._given:
                    self._rebalance()
            if self._began_ms is not None and now_ms - self._began_ms > REBALANCE_TIMEOUT_MS:
                for member in [one for one in self._members.values() if not one.has_joined]:
                    self._remove(member)
            self._complete()

    def enter(self, name: str) -> Member:
        """Somebody joins by a static name."""
        now_ms = self._broker.clock.monotonic_ms()
        old = self._members.get(name)
        member = self._members[name] = Member(name, now_ms)
        if old is not None:
            old.is_fenced = True
            old.settled.set()
            member.owned = old.owned
        if old is not None and self._began_ms is None:
            member.settled.set()
        elif self._began_ms is None:
            self._rebalance()
        member.has_joined = True
        self._complete()
        return member

    def rejoin(self, member: Member) -> None:
        """A member has let go of its partitions."""
        member.has_joined = True
        self._complete()

    def heartbeat(self, member: Member) -> None:
        """It sees by `settled` that all have to join again."""
        member.heard_ms = self._broker.clock.monotonic_ms()

    def is_member(self, member: Member) -> bool:
        """Whether it was not given up meanwhile, and nobody else has its name."""
        return self._members.get(member.name) is member

    def leave(self, member: Member) -> None:
        if self._members.get(member.name) is member:
            self._remove(member)

    def _remove(self, member: Member) -> None:
        del self._members[member.name]
        self._rebalance()

    def _rebalance(self) -> None:
        if self._began_ms is None:
            self._broker.happened.append("group rebalance")
            self._began_ms = self._broker.clock.monotonic_ms()
        for member in self._members.values():
            member.has_joined = False
            member.settled.clear()

    def _complete(self) -> None:
        if self._began_ms is None or not all(member.has_joined for member in self._members.values()):
            return
        self._began_ms, self._given = None, self._every()
        names = sorted(self._members)
        for place, name in enumerate(names):
            member = self._members[name]
            member.owned = frozenset(self._given) if self._overlapping else self._range(place, len(names))
            member.settled.set()

    def _range(self, place: int, members: int) -> frozenset[TopicPartition]:
        """Consecutive partitions of each topic."""
        found: set[TopicPartition] = set()
        for topic in self._topics:
            count = sum(tp.topic == topic for tp in self._given)
            each, more = divmod(count, members)
            first = place * each + min(place, more)
            found |= {TopicPartition(topic, number) for number in range(first, first + each + (place < more))}
        return frozenset(found)

    def _every(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in range(len(self._broker.partitions(topic)))
        ]


class SimGroupReader(SimConsumer):
    """`GroupConsumer`: what the group gives. Its owner hears of that inside `poll`; a rebalance waits for it."""

    def __init__(  # noqa: PLR0917 -- as many as the real one's
        self,
        broker: SimBroker,
        topics: Iterable[str],
        group: str,
        coordinator: SimGroup,
        name: str,
        owner: PartitionOwner,
    ) -> None:
        super().__init__(broker, topics, group)
        self._coordinator = coordinator
        self._name = name
        self._owner = owner
        self._member: Member | None = None
        self._belonging: asyncio.Task[None] | None = None
        self._given: frozenset[TopicPartition] | None = None
        """Ours, and not told the owner yet."""
        self._taken = asyncio.Event()
        """Set while the owner is to let go."""
        self._let_go = asyncio.Event()
        self._turn = asyncio.Lock()

    async def reach(self) -> None:
        """Anything that goes to the brokers passes here: who is frozen, or cut off, waits.

        Raises:
            BrokerUnavailableError: it is cut off.

        """

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        assert not positions, "the owner tells positions when partitions are assigned"
        await self.rejoin()

    def share(self, members: int) -> None:
        assert members >= 1, "whoever asks is one of them"

    async def rejoin(self) -> None:
        await self.reach()
        if not self._broker.up.is_set():
            raise BrokerUnavailableError("no broker answers")
        if self._belonging is None or self._belonging.done():  # who was told to leave before the start is in already
            self._belonging = asyncio.create_task(self._belong(), name="group.member")

    async def leave(self) -> None:
        async with self._turn:
            await self._leave()

    async def _leave(self) -> None:
        await self._end_membership()
        if self._member is not None and self._broker.up.is_set():
            self._coordinator.leave(self._member)
        self._member = self._given = None
        await self._tell_lost()

    async def stop(self) -> None:
        """Without leaving the group: the same name may be back soon (R60)."""
        await self._end_membership()
        await super().stop()

    async def poll(self, timeout_ms: int, records_max: int) -> list[SimRecord]:
        if self._member is not None and self._member.is_fenced:
            raise StoreRefusedError(f"another process reads as {self._name}")
        async with self._turn:
            return await self._poll(timeout_ms, records_max)

    async def _poll(self, timeout_ms: int, records_max: int) -> list[SimRecord]:
        if self._taken.is_set():
            await self._tell_lost()
        while self._given is not None and await self._tell_given():
            """Others may have been given meanwhile."""
        try:
            await self.reach()
        except BrokerUnavailableError:
            await self._broker.clock.sleep(max(1, timeout_ms))
            return []
        if not self._positions:
            await self._broker.clock.sleep(max(1, timeout_ms))
            return []
        return await super().poll(timeout_ms, records_max)

    async def extents(self, topics: Iterable[str]) -> dict[TopicPartition, Extent]:
        await self.reach()
        return await super().extents(topics)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition in self._positions:
            super().seek(partition, offset)

    def _take_up(self, positions: Mapping[TopicPartition, int]) -> None:
        """Added partitions are given by the group."""

    def _rebalance(self) -> None:
        """It is the group that does it."""

    async def _tell_lost(self) -> None:
        lost, self._positions = frozenset(self._positions), {}
        if lost:
            await self._owner.revoked(lost)
        self._taken.clear()
        self._let_go.set()

    async def _tell_given(self) -> bool:
        assert self._given is not None
        given, self._given = self._given, None
        try:
            positions = await self._owner.assigned(given)
        except UnavailableError:
            self._given = given if self._given is None and not self._taken.is_set() else self._given
            return False
        if self._taken.is_set() or self._given is not None or self._member is None:
            return True
        self._positions = {}
        for tp in sorted(given):
            log = self._logs[tp] = self._broker.partitions(tp.topic)[tp.partition]
            at = positions.get(tp)
            if at is not None and not log.first <= at <= log.end():
                self._resets.append(Reset(tp, at, log.first, "beyond_end" if at > log.end() else "deleted"))
                at = None
            self._positions[tp] = log.first if at is None else at
        return True

    async def _belong(self) -> None:
        """Join, and join again whenever all have to; heartbeats beside whatever the owner does."""
        while True:
            await self._say()
            member = self._member = self._coordinator.enter(self._name)
            while self._coordinator.is_member(member):
                if not await self._settled(member):
                    continue
                self._given = member.owned
                while member.settled.is_set() and self._coordinator.is_member(member):
                    await self._broker.clock.sleep(HEARTBEAT_INTERVAL_MS)
                    await self._say()
                    self._coordinator.heartbeat(member)
                await self._take_away()
                self._coordinator.rejoin(member)
            if member.is_fenced:
                return
            await self._take_away()

    async def _settled(self, member: Member) -> bool:
        """Wait a while until the group has given partitions."""
        waiting = asyncio.create_task(member.settled.wait(), name="group.settling")
        await asyncio.wait([waiting], timeout=HEARTBEAT_INTERVAL_MS / 1000)
        waiting.cancel()
        await self._say()
        self._coordinator.heartbeat(member)
        return member.settled.is_set()

    async def _take_away(self) -> None:
        """Have the owner let go, but do not wait for ever."""
        self._given = None
        self._let_go.clear()
        self._taken.set()
        waiting = asyncio.create_task(self._let_go.wait(), name="group.letting_go")
        await asyncio.wait([waiting], timeout=REVOKE_TIMEOUT_MS / 1000)
        waiting.cancel()

    async def _end_membership(self) -> None:
        if self._belonging is not None:
            self._belonging.cancel()
            await asyncio.wait([self._belonging])
            self._belonging = None

    async def _say(self) -> None:
        """Reach the brokers, however long that takes."""
        while True:
            try:
                await self._broker.up.wait()
                await self.reach()
            except BrokerUnavailableError:
                await self._broker.clock.sleep(LOOK_MS)
            else:
                return
