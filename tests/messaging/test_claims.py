"""Whose a group is, in virtual time: two that claim it, at the same instant or not, never both act (R22)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import pytest

from kafka_saga.messaging.claims import (
    LATE_SETTLE_MS,
    RENEW_MS,
    SETTLE_MS,
    Claim,
    Claimant,
    Unclaimed,
    in_words,
    others_than,
)
from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.errors import GroupInUseError
from kafka_saga.messaging.hints import CommitHints
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime.errors import BrokerUnavailableError, StoreRefusedError
from kafka_saga.runtime.store_lock import WATCH_MS
from tests.simulation.virtual_time import SimClock, VirtualTimeLoop

A, B = "a" * 32, "b" * 32
ONE, TWO = TopicPartition("pay.commands", 0), TopicPartition("pay.commands", 1)
FROM_THE_START = {ONE: 0, TWO: 0}


class FakeGroups:
    """A coordinator whose last word on each partition counts."""

    def __init__(self, clock: SimClock) -> None:
        self.clock = clock
        self.commits: dict[TopicPartition, Committed] = {}
        self.written = 0
        self.away = False
        self.has_members = False
        self.slow_commit_ms = 0
        """How long the next commit is on its way."""

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        assert group == "pay"
        slow_ms, self.slow_commit_ms = self.slow_commit_ms, 0
        await self.clock.sleep(slow_ms + 3)
        self._answer()
        if self.has_members:
            raise GroupInUseError(group)
        self.commits |= {tp: Committed(offset, metadata) for tp, offset in offsets.items()}
        self.written += 1

    async def committed_by(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        assert group == "pay"
        self._answer()
        found = {tp: self.commits[tp] for tp in partitions if tp in self.commits}
        await self.clock.sleep(2)
        return found

    def _answer(self) -> None:
        if self.away:
            raise BrokerUnavailableError("no broker answers")

    @property
    def texts(self) -> set[str]:
        return {commit.metadata for commit in self.commits.values()}


class Owner:
    """A start of one store, and its life until it is told that it must end."""

    def __init__(self, groups: FakeGroups, store_id: str) -> None:
        self.claim = Claim(groups, "pay", Claimant(store_id, f"{store_id[0]}.db", "payment"), groups.clock)
        self.acts = False

    async def start(self, positions: Mapping[TopicPartition, int] = FROM_THE_START) -> None:
        await self.claim.check(positions)
        await self.claim.take(positions)
        self.acts = True

    async def live(self) -> None:
        try:
            await self.start()
            await self.claim.watch()
        finally:
            self.acts = False


@pytest.fixture
def loop() -> VirtualTimeLoop:
    return VirtualTimeLoop()


@pytest.fixture
def groups(loop: VirtualTimeLoop) -> FakeGroups:
    return FakeGroups(SimClock(loop))


def run(loop: VirtualTimeLoop, work: Coroutine[Any, Any, None]) -> None:
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def test_a_first_start_claims_every_partition_and_confirms_it(loop: VirtualTimeLoop, groups: FakeGroups) -> None:
    async def scene() -> None:
        await Owner(groups, A).start({ONE: 7, TWO: 0})
        assert groups.commits == {ONE: Committed(7, A), TWO: Committed(0, A)}
        assert SETTLE_MS < groups.clock.monotonic_ms() < SETTLE_MS + 50

    run(loop, scene())


def test_a_later_start_waits_for_nothing_and_writes_nothing(loop: VirtualTimeLoop, groups: FakeGroups) -> None:
    async def scene() -> None:
        groups.commits = {ONE: Committed(7, A)}  # a version before claims committed only what it had read
        await Owner(groups, A).start()
        assert groups.clock.monotonic_ms() < 10
        assert groups.written == 0

    run(loop, scene())


@pytest.mark.parametrize("apart_ms", [*range(12), 100, SETTLE_MS - 1, SETTLE_MS, SETTLE_MS + 10, 10_000])
def test_of_two_first_starts_exactly_one_acts_however_far_apart_they_are(
    loop: VirtualTimeLoop, groups: FakeGroups, apart_ms: int
) -> None:
    async def scene() -> None:
        first, second = Owner(groups, A), Owner(groups, B)
        lives = [asyncio.create_task(first.live())]
        await groups.clock.sleep(apart_ms)
        lives.append(asyncio.create_task(second.live()))
        for _ in range(2_000):
            assert not (first.acts and second.acts)
            await groups.clock.sleep(5)
        assert first.acts != second.acts
        [refused] = [life for life in lives if life.done()]
        with pytest.raises(StoreRefusedError, match=f"(?=.*{A})(?=.*{B}).*saga adopt payment --from committed"):
            await refused
        for life in lives:
            life.cancel()

    run(loop, scene())


@pytest.mark.parametrize("slow_ms", [SETTLE_MS + 5, 1_500, 2_600])
def test_a_claim_that_lands_late_on_a_group_with_an_owner_is_taken_back_by_him(
    loop: VirtualTimeLoop, groups: FakeGroups, slow_ms: int
) -> None:
    """The second saw the group free, and its commit was on its way while the first began to act."""

    async def scene() -> None:
        first, second = Owner(groups, A), Owner(groups, B)
        groups.slow_commit_ms = slow_ms
        late = asyncio.create_task(second.live())
        await groups.clock.sleep(4)  # its second look is done, and its commit on its way
        owner = asyncio.create_task(first.live())
        for _ in range(LATE_SETTLE_MS):
            assert not second.acts
            await groups.clock.sleep(5)
        assert first.acts
        assert groups.texts == {A}
        with pytest.raises(StoreRefusedError, match=f"store {A}"):
            await late
        owner.cancel()

    run(loop, scene())


def test_who_finds_another_owner_while_running_stops_within_the_watch(
    loop: VirtualTimeLoop, groups: FakeGroups
) -> None:
    async def scene() -> None:
        owner = Owner(groups, A)
        life = asyncio.create_task(owner.live())
        await groups.clock.sleep(10_000)
        assert owner.acts
        groups.commits[TWO] = Committed(5, B)
        await groups.clock.sleep(WATCH_MS + 10)
        assert not owner.acts
        with pytest.raises(StoreRefusedError, match=f"(?=.*store {A})(?=.*store {B})"):
            await life

    run(loop, scene())


@pytest.mark.parametrize("text", ["", "kafka-streams 3"])
def test_what_a_program_that_is_not_ours_committed_is_anothers(
    loop: VirtualTimeLoop, groups: FakeGroups, text: str
) -> None:
    async def scene() -> None:
        groups.commits = {ONE: Committed(20, text)}
        with pytest.raises(StoreRefusedError, match=r"a program that is not ours \(offset 20 of pay.commands\[0\]"):
            await Owner(groups, A).start()
        assert groups.commits == {ONE: Committed(20, text)}

    run(loop, scene())


def test_a_group_with_members_is_anothers_although_they_have_committed_nothing(
    loop: VirtualTimeLoop, groups: FakeGroups
) -> None:
    async def scene() -> None:
        groups.has_members = True
        with pytest.raises(StoreRefusedError, match=r"consumer group 'pay' has members.*saga adopt payment"):
            await Owner(groups, A).start()

    run(loop, scene())


def test_a_group_that_cannot_be_read_is_no_proof_and_no_claim(loop: VirtualTimeLoop, groups: FakeGroups) -> None:
    async def scene() -> None:
        owner = Owner(groups, A)
        life = asyncio.create_task(owner.live())
        await groups.clock.sleep(1_000)
        groups.away = True
        await groups.clock.sleep(60_000)
        assert owner.acts
        with pytest.raises(BrokerUnavailableError):
            await Owner(groups, B).start()
        groups.away = False
        await groups.clock.sleep(10_000)
        assert (owner.acts, groups.texts) == (True, {A})
        life.cancel()

    run(loop, scene())


def test_added_partitions_and_forgotten_commits_are_claimed_and_all_of_them_renewed(
    loop: VirtualTimeLoop, groups: FakeGroups
) -> None:
    async def scene() -> None:
        owner = Owner(groups, A)
        await owner.start({ONE: 0})
        life = asyncio.create_task(owner.claim.watch())
        owner.claim.cover({TWO: 4})
        await groups.clock.sleep(WATCH_MS + 10)
        assert groups.commits == {ONE: Committed(0, A), TWO: Committed(4, A)}
        del groups.commits[ONE]
        await groups.clock.sleep(WATCH_MS + 10)
        assert groups.texts == {A}
        assert len(groups.commits) == 2
        written = groups.written
        await groups.clock.sleep(RENEW_MS // 2)
        assert groups.written == written
        await groups.clock.sleep(RENEW_MS)
        assert groups.written == written + 1
        life.cancel()

    run(loop, scene())


def test_a_hint_never_writes_over_another_owner_and_tells_who_watches_at_once(
    loop: VirtualTimeLoop, groups: FakeGroups
) -> None:
    async def scene() -> None:
        owner = Owner(groups, A)
        await owner.start()
        watch = asyncio.create_task(owner.claim.watch())
        hints = CommitHints(groups, "pay", groups.clock, owner.claim)
        hints.put({ONE: 3}, A)
        await groups.clock.sleep(600)
        assert groups.commits[ONE] == Committed(3, A)
        groups.commits = dict.fromkeys((ONE, TWO), Committed(1, B))
        hints.put({ONE: 4}, A)
        await groups.clock.sleep(10)
        assert watch.done()
        await hints.stop()
        assert groups.commits == dict.fromkeys((ONE, TWO), Committed(1, B))
        with pytest.raises(StoreRefusedError):
            await watch

    run(loop, scene())


def test_a_start_that_was_killed_while_it_claimed_claims_again(loop: VirtualTimeLoop, groups: FakeGroups) -> None:
    async def scene() -> None:
        killed = asyncio.create_task(Owner(groups, A).start())
        await groups.clock.sleep(100)
        killed.cancel()
        assert groups.texts == {f"claim:{A}"}
        with pytest.raises(StoreRefusedError, match=f"store {A}"):
            await Owner(groups, B).start()
        await Owner(groups, A).start()
        assert groups.texts == {A}
        assert groups.clock.monotonic_ms() > SETTLE_MS

    run(loop, scene())


async def test_who_reads_for_no_store_has_nothing_to_claim() -> None:
    nobody = Unclaimed()
    await nobody.check([ONE])
    await nobody.take(FROM_THE_START)
    assert await nobody.look()


def test_others_are_named_once_each() -> None:
    found = {ONE: Committed(1, A), TWO: Committed(1, f"claim:{B}"), TopicPartition("x", 0): Committed(2, B)}
    assert in_words(others_than(A, found)) == f"store {B}"
    assert others_than(B, {ONE: Committed(1, B)}) == {}
