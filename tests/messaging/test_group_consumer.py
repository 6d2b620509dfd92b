"""A consumer group's members: partitions come and go, and positions are the owner's (R60)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest

from kafka_saga.messaging import fetching
from kafka_saga.messaging.claims import Claimant
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.group_consumer import GroupConsumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import PATIENCE_S, messages

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]  # librdkafka's mock cluster loses itself with two members

PARTITIONS = 4
CLOCK = SystemClock()
STORE = Claimant("0" * 32, "one.db", "payment")
RIVAL = Claimant("1" * 32, "other.db", "payment")


class Member:
    """Polls beside the test, and keeps positions as a store would."""

    def __init__(
        self, broker: BrokerUnderTest, topics: list[str], name: str, stored: dict[TopicPartition, int]
    ) -> None:
        self.stored = stored
        self.held: frozenset[TopicPartition] = frozenset()
        self.seen: list[tuple[TopicPartition, int]] = []
        self.told: list[str] = []
        self.store_is_away = False
        self.failure: BaseException | None = None
        self.consumer = GroupConsumer(
            broker.settings,
            topics,
            group=topics[0] + ".group",
            member=name,
            owner=self,
            claimant=STORE,
            session_timeout_ms=6_000,
        )
        self._polling: asyncio.Task[None] | None = None
        self._to_do: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    async def start(self) -> None:
        await self.consumer.start()
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait({self._polling})
        await self.consumer.stop()

    async def leave(self) -> None:
        """In the middle of a poll, as whoever finds that it must not go on."""
        await self.consumer.leave()

    async def rejoin(self) -> None:
        self._to_do.put_nowait(self.consumer.rejoin)
        await until(lambda: self.consumer.is_member)

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self.store_is_away:
            self.told.append("asked in vain")
            raise StoreUnavailableError
        self.held = partitions
        self.told.append("assigned")
        return {tp: self.stored[tp] for tp in partitions if tp in self.stored}

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert partitions == self.held
        self.held = frozenset()
        self.told.append("revoked")

    @property
    def lanes(self) -> set[int]:
        return {tp.partition for tp in self.held}

    async def _poll(self) -> None:
        try:
            while True:
                while not self._to_do.empty():
                    await self._to_do.get_nowait()()
                for record in await self.consumer.poll(50, 100):
                    tp = TopicPartition(record.topic, record.partition)
                    assert tp in self.held
                    self.seen.append((tp, record.offset))
                    self.stored[tp] = record.offset + 1
                self.consumer.commit_hint(dict(self.stored), STORE.store_id)
        except Exception as error:  # noqa: BLE001 -- the test looks at it
            self.failure = error


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await CLOCK.sleep(20)


@pytest.fixture
async def topics(kafka: BrokerUnderTest, topic_prefix: str) -> list[str]:
    names = [topic_prefix + name for name in ("requests", "replies")]
    await create_topics(kafka.settings, [TopicSpec(name, PARTITIONS, {}) for name in names])
    return names


@pytest.fixture
async def member(
    kafka: BrokerUnderTest, topics: list[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], Member]]:
    monkeypatch.setattr("kafka_saga.runtime.limits.HEARTBEAT_INTERVAL_MS", 300)  # they hear of a rebalance by one
    stored: dict[TopicPartition, int] = {}
    made: list[Member] = []

    def make(name: str) -> Member:
        made.append(Member(kafka, topics, name, stored))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


async def produce(broker: BrokerUnderTest, topics: list[str]) -> int:
    producer = Producer(broker.settings)
    try:
        for topic in topics:
            await producer.publish(messages(topic, 20))
    finally:
        await producer.stop()
    return 20 * len(topics)


async def test_members_share_lanes_and_every_record_is_read_once(
    kafka: BrokerUnderTest, topics: list[str], member: Callable[[str], Member]
) -> None:
    one, two = member("one"), member("two")
    await one.start()
    await until(lambda: one.lanes == {0, 1, 2, 3})
    made = await produce(kafka, topics)
    await until(lambda: len(one.seen) == made)
    await two.start()
    await until(lambda: one.lanes | two.lanes == {0, 1, 2, 3} and one.lanes and two.lanes)
    assert not one.lanes & two.lanes
    assert {tp.topic for tp in one.held} == {tp.topic for tp in two.held} == set(topics)
    made += await produce(kafka, topics)
    await until(lambda: len(one.seen) + len(two.seen) == made)
    assert len(set(one.seen + two.seen)) == made
    assert (one.failure, two.failure) == (None, None)


async def test_who_leaves_gives_its_partitions_away_at_once_and_may_come_back(
    kafka: BrokerUnderTest, topics: list[str], member: Callable[[str], Member]
) -> None:
    one, two = member("one"), member("two")
    await one.start()
    await two.start()
    await until(lambda: one.lanes and two.lanes)
    await one.leave()
    assert not one.consumer.is_member
    await until(lambda: not one.held)  # it may just have been given some: then the poll that took them gives them back
    one.consumer.pause([topics[0]])
    one.consumer.resume([topics[0]])
    one.consumer.seek(TopicPartition(topics[0], 0), 0)
    assert await one.consumer.positions(topics) == {}, "who is outside has no partitions, and may be asked so"
    await until(lambda: two.lanes == {0, 1, 2, 3})
    made = await produce(kafka, topics)
    await until(lambda: len(two.seen) == made)
    await one.rejoin()
    await until(lambda: one.lanes and two.lanes)
    assert one.seen == []


async def test_partitions_whose_positions_nobody_can_tell_bring_nothing_until_somebody_can(
    kafka: BrokerUnderTest, topics: list[str], member: Callable[[str], Member]
) -> None:
    made = await produce(kafka, topics)
    one = member("one")
    one.store_is_away = True
    await one.start()
    await until(lambda: one.told.count("asked in vain") > 2)
    assert (one.seen, one.failure) == ([], None)
    one.store_is_away = False
    await until(lambda: len(one.seen) == made)


async def test_who_leaves_while_its_store_is_away_gives_its_partitions_to_others(
    member: Callable[[str], Member],
) -> None:
    one, two = member("one"), member("two")
    one.store_is_away = True
    await one.start()
    await until(lambda: "asked in vain" in one.told)
    await one.leave()
    await two.start()
    await until(lambda: two.lanes == {0, 1, 2, 3})
    assert one.failure is None


async def test_who_leaves_while_it_is_told_of_partitions_comes_back(
    member: Callable[[str], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = member("one")
    asked, answers = asyncio.Event(), asyncio.Event()
    assigned = one.assigned

    async def slow(partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        asked.set()
        await answers.wait()
        return await assigned(partitions)

    monkeypatch.setattr(one, "assigned", slow)
    await one.start()
    await until(asked.is_set)
    running = one.consumer._running()
    unsubscribe = running.unsubscribe

    def then_answer() -> None:
        unsubscribe()
        answers.set()

    monkeypatch.setattr(running, "unsubscribe", then_answer)
    await one.leave()
    await one.rejoin()  # by the task that polls: it does not wait for partitions of the membership that ended
    await until(lambda: one.lanes == {0, 1, 2, 3})
    assert one.failure is None


async def test_who_leaves_before_it_has_any_partitions_comes_back(member: Callable[[str], Member]) -> None:
    one = member("one")
    await one.start()
    for _ in range(3):  # it polls by now, and waits for the group
        await asyncio.sleep(0)  # noqa: TID251 -- no time passes
    await one.leave()
    await one.rejoin()
    await until(lambda: one.lanes == {0, 1, 2, 3})
    assert one.failure is None


async def test_what_comes_gathers_for_longer_where_more_share_it_also_after_coming_back(
    member: Callable[[str], Member],
) -> None:
    one = member("one")
    one.consumer.share(2)
    await one.start()
    alone = fetching.GATHER_MS
    assert one.consumer._running().gather_ms == 2 * alone
    one.consumer.share(3)
    await one.leave()
    await one.rejoin()
    assert one.consumer._running().gather_ms == 3 * alone
    one.consumer.share(100)
    assert one.consumer._running().gather_ms == fetching.GATHER_MS_MAX


async def test_who_comes_back_under_its_name_costs_the_others_nothing(member: Callable[[str], Member]) -> None:
    one, two = member("one"), member("two")
    await one.start()
    await two.start()
    await until(lambda: one.lanes and two.lanes)
    before, told = one.held, list(two.told)
    await one.stop()
    again = member("one")
    await again.start()
    await until(lambda: again.lanes)
    assert (again.held, two.told) == (before, told)


async def test_what_is_committed_names_the_store_and_another_stores_group_is_refused(
    kafka: BrokerUnderTest, topics: list[str], member: Callable[[str], Member]
) -> None:
    one = member("one")
    await one.start()
    await until(lambda: one.lanes)
    await produce(kafka, topics)
    cluster = Cluster(kafka.settings)
    group = topics[0] + ".group"
    partitions = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]

    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await cluster.committed_by(group, partitions)
            while {tp: commit.offset for tp, commit in found.items() if commit.offset} != one.stored:
                await CLOCK.sleep(50)
                found = await cluster.committed_by(group, partitions)
    finally:
        await cluster.close()
    rival = GroupConsumer(kafka.settings, topics, group=group, member="rival", owner=one, claimant=RIVAL)
    with pytest.raises(StoreRefusedError, match=STORE.store_id):
        await rival.start()
    await rival.stop()


async def test_a_paused_topic_stays_paused_over_a_rebalance(
    kafka: BrokerUnderTest, topics: list[str], member: Callable[[str], Member]
) -> None:
    one, two = member("one"), member("two")
    await one.start()
    await until(lambda: one.lanes)
    one.consumer.pause([topics[0]])
    await two.start()
    await until(lambda: one.lanes and two.lanes)
    await two.leave()
    await until(lambda: len(one.lanes) == PARTITIONS)
    await produce(kafka, topics)
    await until(lambda: len(one.seen) == 20)
    assert {tp.topic for tp, _ in one.seen} == {topics[1]}
    one.consumer.resume([topics[0]])
    await until(lambda: len(one.seen) == 40)


async def test_an_owner_that_takes_too_long_to_let_go_holds_nobody_up(
    member: Callable[[str], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.runtime.limits.REVOKE_TIMEOUT_MS", 200)
    one, two = member("one"), member("two")
    goes_on = asyncio.Event()
    revoked = one.revoked

    async def slow(partitions: frozenset[TopicPartition]) -> None:
        await goes_on.wait()
        await revoked(partitions)

    monkeypatch.setattr(one, "revoked", slow)
    await one.start()
    await until(lambda: one.lanes)
    await two.start()
    await until(lambda: two.lanes)
    assert len(one.held) == 2 * PARTITIONS  # it has not heard of it yet
    goes_on.set()
    await until(lambda: one.lanes and not one.lanes & two.lanes)
    assert one.failure is None
