"""Whose a consumer group is: one store's, which says so in the text beside the group's offsets (R22).

Two processes with two databases would carry everything out twice. So a store claims its group before it acts, and
looks again every two seconds (docs/decisions/0016). A claim that nobody has confirmed yet never moves who has: a
commit that was on its way for long may land on a group that has an owner by now, and he takes it back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, NoReturn, Protocol

from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.errors import GroupInUseError
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, RefusedError, StoreRefusedError
from kafka_saga.runtime.store_lock import WATCH_MS
from kafka_saga.runtime.telemetry import log

_log = log("claims")

SETTLE_MS = 500
"""A start that saw the group free has committed its claim within this time, or waits for longer itself."""

LATE_SETTLE_MS = 2 * WATCH_MS + SETTLE_MS
"""So long that an owner who was there before has looked meanwhile, and taken the group back."""

RENEW_MS = 3_600_000
"""Kafka forgets what nobody committed anew for `offsets.retention.minutes`: a week, and hardly ever less than a day."""

_CLAIMING = "claim:"
"""Before the id of a store that has not confirmed its claim yet, and so has never acted on it."""

_STORE_ID = re.compile(rf"(?:{_CLAIMING})?[0-9a-f]{{32}}")


class Groups(Protocol):
    """What of `Cluster` is used."""

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int], metadata: str) -> None: ...

    async def committed_by(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Committed]: ...


class Claimant(NamedTuple):
    """A store that reads for a group.

    Attributes:
        store_id: what it is known by.
        database: where it is, for people.
        adopted_as: what `saga adopt` calls its owner: a service, or `orchestrator`.

    """

    store_id: str
    database: str
    adopted_as: str


def store_named(metadata: str) -> str:
    """The id of the store that a commit's text names, whether or not its claim is confirmed."""
    return metadata.removeprefix(_CLAIMING)


def others_than(store_id: str | None, found: Mapping[TopicPartition, Committed]) -> dict[TopicPartition, Committed]:
    """The commits that are not of the store `store_id`."""
    return {tp: commit for tp, commit in found.items() if store_named(commit.metadata) != store_id}


class Unclaimed:
    """The hold of who reads for no store: there is nothing to claim, and nothing to lose."""

    async def check(self, partitions: Iterable[TopicPartition]) -> None: ...

    async def take(self, positions: Mapping[TopicPartition, int]) -> None: ...

    def cover(self, positions: Mapping[TopicPartition, int]) -> None: ...

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def look(self) -> bool:
        return True


def claim_of(groups: Groups, group: str, claimant: Claimant | None, clock: Clock) -> Claim | Unclaimed:
    """The hold of `claimant` on `group`."""
    return Unclaimed() if claimant is None else Claim(groups, group, claimant, clock)


class Claim:
    """One store's hold on one group."""

    def __init__(self, groups: Groups, group: str, claimant: Claimant, clock: Clock) -> None:
        self._groups = groups
        self._group = group
        self._claimant = claimant
        self._clock = clock
        self._positions: dict[TopicPartition, int] = {}
        """What is committed where the claim has to be written: how far each partition is done."""
        self._is_ours = False
        self._is_taken = False
        self._renewed_at_ms = 0
        self._rest: asyncio.Task[None] | None = None
        self.lost: StoreRefusedError | None = None
        """Why nothing more may be done, once another owner was found."""

    async def check(self, partitions: Iterable[TopicPartition]) -> None:
        """Refuse a group that is another's. One that is ours already needs no claim.

        Raises:
            StoreRefusedError: another store, or a program that is not ours, has committed in it.
            RefusedError: this user may not use the group.
            BrokerUnavailableError: it cannot be read.

        """
        found = await self._groups.committed_by(self._group, partitions)
        self._refuse_another(found)
        self._is_ours = any(commit.metadata == self._claimant.store_id for commit in found.values())

    async def take(self, positions: Mapping[TopicPartition, int]) -> None:
        """Make the group ours before anything is done for it; waits only where it was nobody's.

        Args:
            positions: the next offset of every partition that is read.

        Raises:
            As `check`.

        """
        self.cover(positions)
        if not self._is_ours:
            await self._settle()
        self._renewed_at_ms = self._clock.monotonic_ms()
        self._is_taken = True

    async def _settle(self) -> None:
        began_ms = self._clock.monotonic_ms()
        await self.check(self._positions)
        await self._commit(_CLAIMING + self._claimant.store_id)
        is_late = self._clock.monotonic_ms() - began_ms >= SETTLE_MS
        await self._clock.sleep(LATE_SETTLE_MS if is_late else SETTLE_MS)
        found = await self._groups.committed_by(self._group, self._positions)
        self._refuse_another(found)
        if found.keys() != self._positions.keys():
            raise BrokerUnavailableError(f"group {self._group} has forgotten our claim: start again")
        await self._commit(self._claimant.store_id)
        self._is_ours = True
        _log.info("group.claimed", group=self._group, store=self._claimant.store_id)

    def cover(self, positions: Mapping[TopicPartition, int]) -> None:
        """The partitions that the claim is about, and how far each is done."""
        self._positions |= positions

    async def watch(self) -> None:
        """Look whose the group is every two seconds; never returns.

        Raises:
            StoreRefusedError: another owner was found, here or by `look`.

        """
        while self.lost is None:
            self._rest = asyncio.ensure_future(self._clock.sleep(WATCH_MS))
            await asyncio.wait({self._rest})
            with suppress(BrokerUnavailableError, RefusedError):
                await self.look()
        raise self.lost

    async def look(self) -> bool:
        """Whether the group is still ours.

        Raises:
            BrokerUnavailableError, RefusedError: it cannot be read, which proves nothing.

        """
        if self._is_taken and self.lost is None:
            try:
                await self._look()
            except StoreRefusedError as error:
                self.lost = error
                if self._rest is not None:
                    self._rest.cancel()  # who watches is to know at once
        return self.lost is None

    async def _look(self) -> None:
        found = await self._groups.committed_by(self._group, self._positions)
        others = others_than(self._claimant.store_id, found)
        if others and not all(commit.metadata.startswith(_CLAIMING) for commit in others.values()):
            self._refuse_another(found)
        if others:
            _log.warning("group.taken_back", group=self._group, claimed_by=in_words(others))
        now_ms = self._clock.monotonic_ms()
        is_whole = len(found) == len(self._positions) and not others
        if not is_whole or now_ms - self._renewed_at_ms >= RENEW_MS:
            await self._commit(self._claimant.store_id)
            self._renewed_at_ms = now_ms

    async def _commit(self, text: str) -> None:
        try:
            await self._groups.commit(self._group, self._positions, text)
        except GroupInUseError as error:
            self._refuse(str(error))

    def _refuse_another(self, found: Mapping[TopicPartition, Committed]) -> None:
        others = others_than(self._claimant.store_id, found)
        if others:
            self._refuse(f"consumer group '{self._group}' is read for by {in_words(others)}")

    def _refuse(self, found: str) -> NoReturn:
        store_id, database, name = self._claimant
        raise StoreRefusedError(
            f"{found}, and this is store {store_id} ({database}): two would do everything twice. Run one of them; "
            f"`saga adopt {name} --from committed|earliest|end` makes the group this one's (--dry-run counts first)"
        )


def in_words(others: Mapping[TopicPartition, Committed]) -> str:
    """Who has committed, for people."""
    named = {
        f"store {store_named(commit.metadata)}" for commit in others.values() if _STORE_ID.fullmatch(commit.metadata)
    }
    foreign = {tp: commit for tp, commit in others.items() if not _STORE_ID.fullmatch(commit.metadata)}
    if foreign:
        (topic, number), commit = min(foreign.items())
        text = f"the text {commit.metadata[:40]!r}" if commit.metadata else "no store's id"
        named.add(f"a program that is not ours (offset {commit.offset} of {topic}[{number}] with {text})")
    return " and ".join(sorted(named))
