"""aiokafka's consumer with five habits changed, for which it has no settings."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError

from kafka_saga.messaging.connecting import close_for_good, opened
from kafka_saga.messaging.settings import KafkaSettings

TURNS = 4
"""Turns of the event loop for which asking for more is held back. It would be prepared in the second and sent in the
third; what a poll's taker publishes at once takes five to be on its way."""

CROWD = 8
"""A poll that took more records than this is one of many: more come every moment."""

GATHER_MS = 8
"""For how long after such a poll more is not asked for, in milliseconds. The requests and commits of small batches
fill both cores at 1,000 sagas a second; this takes a sixth of it away. Handling a full batch takes longer anyway."""

GATHER_MS_MAX = 32
"""Of several members each gets its share of what comes, and waits for as many times longer; but not for ever longer."""

LEADERS_PAUSE_MS = 100
"""Between two questions about leaders while a partition has none. An election takes longer."""

_LEADERS_AGE_MS = 30_000
_ADDED_AGE_MS = 5_000
"""A group's leader looks for added partitions: while nobody reads one, what waits in it is late."""

_POLL_INTERVAL_MS_MAX = 24 * 3_600_000
"""Who handles a long batch is no dead member: its heartbeats say so. (aiokafka has no way to turn this off.)"""

_FETCH_BYTES_MAX = 16 * 1024 * 1024

_unpack = PartitionRecords._unpack_records  # noqa: SLF001


def _unpack_weakly(records: PartitionRecords) -> Iterator[Any]:
    unpacked: Iterator[Any] = _unpack(weakref.proxy(records))
    return unpacked


def install() -> None:
    """Have fetched records that are dropped freed at once.

    Each partition's records, up to a megabyte, and the generator that unpacks them refer to each other. Those that are
    dropped halfway, because their partition was paused (R20), would wait for the search for garbage, which counts
    objects and not bytes: a flood of 200,000 requests took 1.2 GB.
    """
    PartitionRecords._unpack_records = _unpack_weakly  # noqa: SLF001


class SubscriptionEndedError(ConsumerStoppedError, KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """For who polls: there will be nothing. aiokafka's own fetcher waits on, as at every KafkaError."""


class Fetching(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """A consumer without a group that knows `topics` once it has started, and lets answers go out first.

    It finds out about its topics by one request. Otherwise, asked for offsets, it does so one by one, with a pause
    after each: ten seconds for a hundred topics.

    It asks for more only when what follows from the last records is on its way, which it otherwise does first: 0.2 ms
    of each hop of a lone message. And where many come it lets some gather first: the requests, the commit and the
    publishing of a batch cost as much for one record as for thirty.

    While a partition has no leader it asks for one now and then. Otherwise it does so as fast as it is answered: 1,300
    requests and 0.4 s of CPU a second.

    A poll ends with its subscription. Otherwise one that came while the group was settling, or came for a subscription
    that had just ended, waits for an assignment without a deadline.
    """

    def __init__(self, topics: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        self._known_topics = tuple(topics)
        self.gather_ms: float = GATHER_MS
        self._taken = 0
        self._taken_at = 0.0

    async def start(self) -> None:
        await super().start()
        await self._client.set_topics(self._known_topics)
        self._fetcher._notify = self._later(self._fetcher)  # noqa: SLF001
        self._client.force_metadata_update = _with_pauses(self._client.force_metadata_update)

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            self._let_go_of_polls()
            await close_for_good(self._client)

    def unsubscribe(self) -> None:
        super().unsubscribe()
        self._let_go_of_polls()

    def _let_go_of_polls(self) -> None:
        waiters = self._subscription._assignment_waiters  # noqa: SLF001
        while waiters:
            waiter = waiters.pop()
            if not waiter.done():
                waiter.set_exception(SubscriptionEndedError())

    async def getmany(self, *partitions: Any, **options: Any) -> dict[Any, list[Any]]:
        taken: dict[Any, list[Any]] = await super().getmany(*partitions, **options)
        self._taken = sum(map(len, taken.values()))
        self._taken_at = asyncio.get_running_loop().time()
        return taken

    def has_fetched(self, partition: Any) -> bool:
        """Whether something of `partition` waits to be taken."""
        return partition in self._fetcher._records  # noqa: SLF001

    def leader(self, partition: Any) -> int | None:
        """The broker that leads `partition`, as far as is known; None for none."""
        leader: int | None = self._client.cluster.leader_for_partition(partition)
        return None if leader == -1 else leader

    def position_now(self, partition: Any) -> int | None:
        """The next offset to take; `position`, which waits until there is one, cannot be asked at any time."""
        state = self._subscription.subscription.assignment.state_value(partition)
        return state.position if state.has_valid_position else None

    def waits_for_transaction(self, partition: Any) -> bool:
        """Whether everything was taken that may be read, and more is there."""
        position, stable = self.position_now(partition), self.last_stable_offset(partition)
        end = self.highwater(partition)
        known = position is not None and stable is not None and end is not None
        return known and 0 <= stable <= position < end

    def _later(self, fetcher: Any) -> Callable[[asyncio.Future[None] | None], None]:
        """What tells `fetcher` that its records were taken: `TURNS` turns later, or after `gather_ms` of many."""
        notify = fetcher._notify  # noqa: SLF001
        loop = asyncio.get_running_loop()

        def notify_later(future: asyncio.Future[None] | None, turns: int = TURNS) -> None:
            # Once the fetcher has gone on for another reason it has seen what was taken, and waits for another future.
            if future is not fetcher._wait_consume_future:  # noqa: SLF001
                notify(future)
            elif turns:
                loop.call_soon(notify_later, future, turns - 1)
            elif self._taken > CROWD:
                loop.call_at(self._taken_at + self.gather_ms / 1000, notify, future)
            else:
                notify(future)

        return notify_later


def _with_pauses(update: Callable[[], asyncio.Future[bool]]) -> Callable[[], asyncio.Future[bool]]:
    """`update`, which asks the brokers; what is wanted within LEADERS_PAUSE_MS after it is put off until then."""
    loop = asyncio.get_running_loop()
    asked_at = loop.time() - LEADERS_PAUSE_MS / 1000

    def update_later() -> asyncio.Future[bool]:
        nonlocal asked_at
        again_at = asked_at + LEADERS_PAUSE_MS / 1000
        if loop.time() >= again_at:
            asked_at = loop.time()
            return update()
        pause: asyncio.Future[bool] = loop.create_future()
        loop.call_at(again_at, end, pause)
        return pause

    def end(pause: asyncio.Future[bool]) -> None:
        if not pause.done():
            pause.set_result(False)

    return update_later


class GroupMember(NamedTuple):
    """Who joins a consumer group, and after how long without a word it is taken for dead."""

    group: str
    name: str
    session_timeout_ms: int
    heartbeat_interval_ms: int

    def options(self) -> dict[str, Any]:
        """For aiokafka. Two assignors would have it join twice each time."""
        return {
            "group_id": self.group,
            "group_instance_id": self.name,
            "session_timeout_ms": self.session_timeout_ms,
            "heartbeat_interval_ms": self.heartbeat_interval_ms,
            "max_poll_interval_ms": _POLL_INTERVAL_MS_MAX,
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "metadata_max_age_ms": _ADDED_AGE_MS,
        }


async def connect(
    settings: KafkaSettings, topics: Iterable[str], fetch_wait_ms: int, member: GroupMember | None = None
) -> Fetching:
    """A consumer of `topics` that is connected, and has no partitions yet; `member` of a group, or of none."""
    install()
    of_a_group = member.options() if member is not None else {"group_id": None, "metadata_max_age_ms": _LEADERS_AGE_MS}
    consumer = Fetching(
        topics,
        **settings.client_options(),
        **of_a_group,
        enable_auto_commit=False,
        auto_offset_reset="none",  # a lost position is an alarm, never a silent jump
        isolation_level="read_committed",  # a foreign participant's aborted reply was never given
        fetch_min_bytes=1,
        fetch_max_wait_ms=fetch_wait_ms,
        fetch_max_bytes=_FETCH_BYTES_MAX,
    )
    opened_consumer: Fetching = await opened(consumer, Fetching.stop, settings)
    return opened_consumer
