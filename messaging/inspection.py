"""Questions about a running system for whoever looks after it: few requests, however many topics; nothing changes.

Whoever asks wants to see what is wrong, so a partition or a group that cannot answer is left out of an answer instead
of failing the whole of it.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.admin import DescribeConfigsRequest, DescribeGroupsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from kafka_saga.messaging.cluster import Cluster, Committed
from kafka_saga.messaging.errors import NotAllowedError
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.survey import EARLIEST, LATEST
from kafka_saga.runtime.clock import Clock

__all__ = ["EARLIEST", "LATEST", "BrokerTime", "Inspection", "Member", "PartitionState"]

_TOPIC = 2
_GROUPS_AT_ONCE = 32
_UNCOMMITTED = -1


class PartitionState(NamedTuple):
    """Who serves a partition: the leading broker (-1: none), how many copies there are, and how many are complete."""

    leader: int
    replicas: int
    in_sync: int


class Member(NamedTuple):
    """A member of a consumer group: what it is called, where it runs, and what it was given to read.

    It is called by its own name in the group (`group.instance.id`); where it has none, as its client is (`client.id`).
    """

    name: str
    host: str
    partitions: frozenset[TopicPartition]


class BrokerTime(NamedTuple):
    """The time of Kafka's controller beside ours, in milliseconds; off by at most `uncertainty_ms`."""

    theirs_ms: int
    ours_ms: int
    uncertainty_ms: int

    @property
    def skew_ms(self) -> int:
        """How far our clock is ahead of Kafka's; negative where it is behind."""
        return self.ours_ms - self.theirs_ms


class Inspection(Cluster):
    """A `Cluster` with more questions. Every method raises `BrokerUnavailableError` when Kafka does not answer.

    Attributes:
        lacking: the rights that were lacking for the answers so far, which are left out of them.

    """

    def __init__(self, settings: KafkaSettings, *, clock: Clock | None = None) -> None:
        super().__init__(settings, clock=clock)
        self.lacking: dict[str, NotAllowedError] = {}

    def _note(self, error: NotAllowedError) -> None:
        self.lacking.setdefault(str(error), error)

    async def note_hidden(self, topics: Collection[str]) -> None:
        """Note which of `topics`, that seem to be missing, are hidden from this principal."""
        for name in sorted(await self.hidden(topics)):
            self._note(NotAllowedError(self._settings.principal, "Describe", "topic", name))

    async def partitions(self) -> dict[str, tuple[PartitionState, ...]]:
        """Every topic with its partitions, without Kafka's internal ones."""
        response = await self._metadata(None, create=False)
        return {
            name: tuple(
                PartitionState(leader, len(copies), len(isr))
                for _, _, leader, copies, isr, *_ in sorted(rows, key=itemgetter(1))  # not by error: that comes first
            )
            for _, name, internal, rows in response.topics
            if not internal
        }

    async def offsets(
        self, topics: Mapping[str, tuple[PartitionState, ...]], at: int, *, whole: bool = False
    ) -> dict[TopicPartition, int]:
        """An offset of each partition of `topics`, as `partitions` returned them.

        Args:
            topics: which; partitions without a leader are left out.
            at: EARLIEST, LATEST, or a moment in milliseconds: the first record of that time or later. Partitions
                without such a record are left out, and all of them on a broker that cannot search by time.
            whole: whether records of transactions that are not finished count.

        """
        by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for topic, states in topics.items():
            for number, state in enumerate(states):
                if state.leader >= 0:
                    by_leader[state.leader][topic].append((number, at))
        isolation = 0 if whole else 1
        requests = [
            (leader, OffsetRequest(-1, isolation, list(wanted.items()))) for leader, wanted in by_leader.items()
        ]
        responses = await asyncio.gather(*(self._send_to(leader, request) for leader, request in requests))
        return {
            TopicPartition(topic, number): offset
            for response in responses
            for topic, rows in response.topics
            for number, code, _timestamp, offset, *_ in rows
            if code == 0 and offset >= 0
        }

    async def committed(
        self, groups: Mapping[str, Collection[TopicPartition]]
    ) -> dict[str, dict[TopicPartition, Committed]]:
        """What each group has committed of the given partitions; those without a commit are left out."""
        room = asyncio.Semaphore(_GROUPS_AT_ONCE)

        async def of(group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
            async with room:
                try:
                    return await self._committed_by(group, partitions)
                except NotAllowedError as error:
                    self._note(error)
                    return {}

        found = await asyncio.gather(*(of(group, partitions) for group, partitions in groups.items()))
        return dict(zip(groups, found, strict=True))

    async def members(self, groups: Iterable[str]) -> dict[str, tuple[Member, ...]]:
        """Who is in each group now.

        Nobody where programs assign partitions to themselves, and on a broker that cannot tell.
        """
        room = asyncio.Semaphore(_GROUPS_AT_ONCE)

        async def of(group: str) -> tuple[Member, ...]:
            async with room:
                try:
                    response = await self._send_to_coordinator(group, DescribeGroupsRequest([group]), _group_codes)
                except kafka_errors.IncompatibleBrokerVersion:
                    return ()
                except NotAllowedError as error:
                    self._note(error)
                    return ()
            return tuple(_member(row) for described in response.groups for row in described[5])

        wanted = list(groups)
        return dict(zip(wanted, await asyncio.gather(*map(of, wanted)), strict=True))

    async def effective_configs(
        self, topics: Iterable[str], names: Collection[str]
    ) -> dict[str, dict[str, str]] | None:
        """The settings `names` of each topic as they hold, defaults included; None where they cannot be asked."""
        resources = [(_TOPIC, topic, list(names)) for topic in topics]
        try:
            response = await self._send(DescribeConfigsRequest(resources, include_synonyms=False))
        except kafka_errors.IncompatibleBrokerVersion:
            return None
        for code, _message, _kind, topic, _entries in response.resources:
            if code == kafka_errors.TopicAuthorizationFailedError.errno:
                self._note(NotAllowedError(self._settings.principal, "DescribeConfigs", "topic", topic))
        return {
            topic: {entry[0]: entry[1] for entry in entries if entry[1] is not None}
            for code, _message, _kind, topic, entries in response.resources
            if code == 0
        }

    async def time(self) -> BrokerTime | None:
        """What time it is for Kafka's controller; None where it does not tell (before Kafka 3.3, and embedded).

        A quorum's leader says when it was last caught up with itself, and that is now.
        """
        before_ms = self._clock.now_ms()
        asked_ms = self._clock.monotonic_ms()
        try:
            response = await self._send(_DescribeQuorumRequest())
        except (kafka_errors.IncompatibleBrokerVersion, NotImplementedError):
            return None
        took_ms = self._clock.monotonic_ms() - asked_ms
        for _topic, partitions, _tags in response.topics:
            for _number, code, leader, _epoch, _end, voters, *_ in partitions:
                for replica, _log_end, _fetched_ms, caught_up_ms, _tags in voters:
                    if code == 0 and replica == leader and caught_up_ms > 0:
                        return BrokerTime(caught_up_ms, before_ms + took_ms // 2, took_ms // 2 + 1)
        return None

    async def _committed_by(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        by_topic: dict[str, list[int]] = defaultdict(list)
        for topic, number in partitions:
            by_topic[topic].append(number)
        request = OffsetFetchRequest(group, list(by_topic.items()))
        response = await self._send_to_coordinator(group, request, _codes)
        if kafka_errors.GroupAuthorizationFailedError.errno in _codes(response):
            self._note(NotAllowedError(self._settings.principal, "Describe", "group", group))
        return {
            TopicPartition(topic, number): Committed(offset, metadata or "")
            for topic, rows in response.topics
            for number, offset, metadata, code in rows
            if code == 0 and offset > _UNCOMMITTED
        }


def _group_codes(response: Any) -> set[int]:
    return {described[0] for described in response.groups if described[0]}


def _member(row: tuple[Any, ...]) -> Member:
    member_id, client, host, _metadata, assignment = row[:5]
    given = ConsumerProtocolMemberAssignment.decode(assignment).assignment if assignment else []
    name, is_of_broker = _MEMBER_ID.subn("", member_id)
    read = frozenset(TopicPartition(topic, n) for topic, ns in given for n in ns)
    return Member(name if is_of_broker else client, host.removeprefix("/"), read)


_MEMBER_ID: Final = re.compile(r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
"""What a broker puts behind the name to make it an id. The version of the answer that has the name by itself is newer
than the newest that aiokafka reads."""


def _codes(response: Any) -> set[int]:
    return {code for _, rows in response.topics for *_, code in rows if code} | {getattr(response, "error_code", 0)}


_REPLICAS = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    ("tags", TaggedFields),
)


class _DescribeQuorumResponse(Response):  # type: ignore[misc] # aiokafka has no types
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorumRequestV1(RequestStruct):  # type: ignore[misc]
    """Version 1 is the first that tells times."""

    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 1
    RESPONSE_TYPE = _DescribeQuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorumRequest(Request[_DescribeQuorumRequestV1]):  # type: ignore[misc]
    """aiokafka does not have it."""

    API_KEY = 55

    def build(self, request_struct_class: type[_DescribeQuorumRequestV1]) -> _DescribeQuorumRequestV1:
        no_tags: dict[int, bytes] = {}
        return request_struct_class([("__cluster_metadata", [(0, no_tags)], no_tags)], no_tags)
