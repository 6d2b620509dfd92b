"""How far topics reach now, by the brokers' own word: every partition that exists, to its high watermark (R21).

What a consumer knows by itself is less: it hears of added partitions late, and sees only as far as it may read. And
whoever inspects a system (`inspection.py`) wants to see what there is; here a single partition that cannot answer
fails the whole question, because the record that somebody waits for may be in that one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.protocol.offset import OffsetRequest

from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime.errors import BrokerUnavailableError

EARLIEST: Final = -2
LATEST: Final = -1
NO_LEADER: Final = -1


class Extent(NamedTuple):
    """How far a partition reaches."""

    stable: int
    """Committed records before it can be read; behind it lies a transaction that is still open."""
    end: int
    """The high watermark: the offset after the last record that is in the topic, readable or not."""


class Survey(Cluster):
    """A `Cluster` with more questions. Offsets are of all partitions asked for, or `BrokerUnavailableError`.

    A topic that this principal may not see is a `NotAllowedError`.
    """

    async def leaders(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """The partitions of `topics` that exist at this moment, each with the broker that leads it, -1 for none."""
        response = await self._metadata(sorted(set(topics)), create=False)
        self.check_seen((code, topic) for code, topic, *_ in response.topics)
        return {
            TopicPartition(topic, number): leader
            for code, topic, _internal, partitions in response.topics
            if code == 0
            for _code, number, leader, *_ in partitions
        }

    async def first_offsets(self, leaders: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The first offset of each partition, as `leaders` returned them."""
        return await self._offsets(leaders, EARLIEST, whole=True)

    async def offsets_at(self, leaders: Mapping[TopicPartition, int], at_ms: int) -> dict[TopicPartition, int]:
        """The first record of `at_ms` or later in each partition; those that have none are left out."""
        found = await self._offsets(leaders, at_ms, whole=False)
        return {tp: offset for tp, offset in found.items() if offset >= 0}

    async def extents(self, leaders: Mapping[TopicPartition, int]) -> dict[TopicPartition, Extent]:
        """How far each partition reaches, as `leaders` returned them."""
        ends, stable = await asyncio.gather(
            self._offsets(leaders, LATEST, whole=True), self._offsets(leaders, LATEST, whole=False)
        )
        return {tp: Extent(stable[tp], end) for tp, end in ends.items()}

    async def _offsets(
        self, leaders: Mapping[TopicPartition, int], at: int, *, whole: bool
    ) -> dict[TopicPartition, int]:
        by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for tp, leader in leaders.items():
            if leader == NO_LEADER:
                raise BrokerUnavailableError(f"{tp.topic}[{tp.partition}] has no leader")
            by_leader[leader][tp.topic].append((tp.partition, at))
        isolation = 0 if whole else 1
        responses = await asyncio.gather(
            *(
                self._send_to(leader, OffsetRequest(-1, isolation, list(wanted.items())))
                for leader, wanted in by_leader.items()
            )
        )
        found: dict[TopicPartition, int] = {}
        for response in responses:
            for topic, rows in response.topics:
                self.check_seen((code, topic) for _number, code, *_ in rows)
                for number, code, _timestamp, offset, *_ in rows:
                    if code:
                        raise BrokerUnavailableError(f"{topic}[{number}]: {_name(code)}")
                    found[TopicPartition(topic, number)] = offset
        return found


def _name(code: int) -> str:
    return f"{kafka_errors.for_code(code).__name__} (error {code})"
