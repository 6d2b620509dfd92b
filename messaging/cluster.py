"""Single requests to the cluster: metadata, topics, and the offsets that a group committed.

aiokafka's own admin client and group coordinator retry without limit, hide errors per topic or need a
controller, which the embedded broker does not have. These few requests are sent by hand instead.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from kafka_saga.messaging import broken_writes
from kafka_saga.messaging.connecting import close_for_good
from kafka_saga.messaging.errors import GroupInUseError, NotAllowedError
from kafka_saga.messaging.probing import explained, reach
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.waiting import abandon, within
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError

_RESOURCE_TOPIC = 2
_TOPIC_HIDDEN = kafka_errors.TopicAuthorizationFailedError.errno
_TOPIC_WAIT_MS = 2_000
_RETRY_MS = 100


_MOVING = {
    kafka_errors.GroupLoadInProgressError.errno,
    kafka_errors.GroupCoordinatorNotAvailableError.errno,
    kafka_errors.NotCoordinatorForGroupError.errno,
}
"""What a coordinator says shortly after a broker's start, or after it has moved."""

_MEMBERS = {
    kafka_errors.UnknownMemberIdError.errno,
    kafka_errors.IllegalGenerationError.errno,
    kafka_errors.RebalanceInProgressError.errno,
}
"""What a coordinator says to who is no member of a group that has some."""


class Committed(NamedTuple):
    """What a group last committed of a partition: the next offset to read, and the text with it."""

    offset: int
    metadata: str


class Cluster:
    """One connection to the brokers for questions about topics and groups; connects when first asked.

    Every method raises `BrokerUnavailableError` when Kafka does not answer within REQUEST_TIMEOUT_MS.
    """

    def __init__(self, settings: KafkaSettings, *, clock: Clock | None = None) -> None:
        broken_writes.install()
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client: AIOKafkaClient | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self._answered_once = False

    async def close(self) -> None:
        """Close the connections, or leave them to the system when that takes longer than STOP_TIMEOUT_MS."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await within(limits.STOP_TIMEOUT_MS, "closing the connection", close_for_good(client))

    async def partition_counts(
        self, topics: Iterable[str], *, create: bool = False, wait_ms: int = _TOPIC_WAIT_MS, right: str = "Describe"
    ) -> dict[str, int]:
        """How many partitions each of `topics` has; a topic that does not exist is left out.

        Args:
            topics: their names.
            create: let the broker create missing ones, which only the embedded broker is asked to.
            wait_ms: how long to wait for missing ones: a new topic reaches the brokers one after the other.
            right: what the caller is going to do with them, for the error.

        Raises:
            NotAllowedError: one of them is hidden from this principal, whether it exists or not.

        """
        wanted = sorted(set(topics))
        deadline = self._clock.monotonic_ms() + wait_ms
        while True:
            response = await self._metadata(wanted, create=create)
            self.check_seen(((code, name) for code, name, *_ in response.topics), right)
            counts = {name: len(partitions) for code, name, _, partitions in response.topics if code == 0}
            if len(counts) == len(wanted) or self._clock.monotonic_ms() >= deadline:
                return counts
            await self._clock.sleep(_RETRY_MS)

    def check_seen(self, topics: Iterable[tuple[int, str]], right: str = "Describe") -> None:
        """Raise `NotAllowedError` for the first of `topics`, each with the broker's code, that is hidden from us."""
        hidden = sorted(name for code, name in topics if code == _TOPIC_HIDDEN)
        if hidden:
            raise NotAllowedError(self._settings.principal, right, "topic", hidden[0])

    async def hidden(self, topics: Iterable[str]) -> frozenset[str]:
        """Those of `topics` that are hidden from this principal, whether they exist or not."""
        wanted = sorted(set(topics))  # none would ask for all
        response = await self._metadata(wanted, create=False) if wanted else None
        found = response.topics if response is not None else ()
        return frozenset(name for code, name, *_ in found if code == _TOPIC_HIDDEN)

    async def topics(self) -> dict[str, int]:
        """Every topic and its number of partitions, without Kafka's internal ones."""
        response = await self._metadata(None, create=False)
        return {name: len(partitions) for _, name, internal, partitions in response.topics if not internal}

    async def administers_topics(self) -> bool:
        """Whether this broker can create and describe topics; the embedded one cannot."""
        try:
            await self._send(CreateTopicsRequest([], limits.REQUEST_TIMEOUT_MS, validate_only=False))
        except kafka_errors.IncompatibleBrokerVersion:
            return False
        return True

    async def create_topics(
        self, topics: Sequence[tuple[str, int, int, Mapping[str, str]]]
    ) -> dict[str, tuple[type[Exception], str]]:
        """Create `(name, partitions, replicas, config)` topics; replicas -1 is the broker's default.

        Returns: Kafka's error class (`NoError` when it was created) and text per topic.
        """
        wanted: list[Any] = [
            (name, count, replicas, [], list(config.items())) for name, count, replicas, config in topics
        ]
        request = CreateTopicsRequest(wanted, limits.REQUEST_TIMEOUT_MS, validate_only=False)
        response = await self._send(request)
        return {name: (kafka_errors.for_code(code), text or "") for name, code, text in response.topic_errors}

    async def topic_configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """The settings of each topic that were set for it and not left at the broker's default."""
        resources = [(_RESOURCE_TOPIC, name, None) for name in topics]
        response = await self._send(DescribeConfigsRequest(resources, include_synonyms=False))
        own = 1  # config_source: set on the topic itself
        return {
            name: {entry[0]: entry[1] for entry in entries if entry[3] == own}
            for _code, _message, _kind, name, entries in response.resources
        }

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Commit `offsets` (next ones to read) for `group` from outside of it, with `metadata` on each."""
        by_topic: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for (topic, partition), offset in offsets.items():
            by_topic[topic].append((partition, offset, metadata))
        # Generation -1 and no member: what Kafka expects of a consumer that assigns its partitions itself.
        request = OffsetCommitRequest(group, -1, "", -1, list(by_topic.items()))
        response = await self._send_to_coordinator(group, request, _commit_codes)
        codes = _commit_codes(response)
        if codes & _MEMBERS:
            raise GroupInUseError(group)
        self._check_codes(codes, group, "committing offsets")

    async def committed_by(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """What `group` last committed of `partitions`; those without a commit are left out."""
        by_topic: dict[str, list[int]] = defaultdict(list)
        for topic, partition in partitions:
            by_topic[topic].append(partition)
        request = OffsetFetchRequest(group, list(by_topic.items()))
        response = await self._send_to_coordinator(group, request, _fetch_codes)
        self._check_codes(_fetch_codes(response), group, "reading offsets")
        return {
            TopicPartition(topic, partition): Committed(offset, metadata or "")
            for topic, rows in response.topics
            for partition, offset, metadata, _ in rows
            if offset >= 0
        }

    async def _metadata(self, topics: list[str] | None, *, create: bool) -> Any:
        return await self._send(MetadataRequest(topics, allow_auto_topic_creation=create))

    async def _send(self, request: Request[Any]) -> Any:
        async def work(client: AIOKafkaClient) -> Any:
            # Only the controller creates topics; the embedded broker has none.
            controller = client.cluster.controller
            node = controller.nodeId if controller is not None else _any_node(client)
            return await client.send(node, request)

        return await self._answered("asking the cluster", work)

    async def _send_to(self, node: int, request: Request[Any]) -> Any:
        async def work(client: AIOKafkaClient) -> Any:
            return await client.send(node, request)

        return await self._answered("asking the cluster", work)

    async def _send_to_coordinator(self, group: str, request: Request[Any], codes_of: Callable[[Any], set[int]]) -> Any:
        """The coordinator's answer; while it is moving or loading the group, the question is asked again."""
        deadline = self._clock.monotonic_ms() + limits.REQUEST_TIMEOUT_MS // 2

        async def work(client: AIOKafkaClient) -> Any:
            while True:
                node = await self._coordinator(client, group)
                response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
                if not codes_of(response) & _MOVING or self._clock.monotonic_ms() >= deadline:
                    return response
                await self._clock.sleep(_RETRY_MS)

        return await self._answered(f"asking the coordinator of group {group}", work)

    def _check_codes(self, codes: set[int], group: str, what: str) -> None:
        if kafka_errors.GroupAuthorizationFailedError.errno in codes:
            raise NotAllowedError(self._settings.principal, "Read", "group", group)
        names = ", ".join(sorted(kafka_errors.for_code(code).__name__ for code in codes if code))
        if names:
            raise BrokerUnavailableError(f"{what} of group {group}: {names}")

    async def _coordinator(self, client: AIOKafkaClient, group: str) -> int:
        deadline = self._clock.monotonic_ms() + limits.REQUEST_TIMEOUT_MS
        while True:
            _any_node(client)  # aiokafka asserts that there is one
            try:
                node: int = await client.coordinator_lookup(CoordinationType.GROUP, group)
            except kafka_errors.GroupAuthorizationFailedError as error:
                raise NotAllowedError(self._settings.principal, "Read", "group", group) from error
            except kafka_errors.GroupCoordinatorNotAvailableError:
                # The first group of a new cluster: the topic for offsets is being created.
                if self._clock.monotonic_ms() >= deadline:
                    raise
                await self._clock.sleep(_RETRY_MS)
            else:
                return node

    async def _answered(self, what: str, work: Callable[[AIOKafkaClient], Coroutine[Any, Any, Any]]) -> Any:
        used: AIOKafkaClient | None = None

        async def connected() -> Any:
            nonlocal used
            async with self._connecting:
                if self._client is None:
                    options = self._settings.client_options()
                    await reach(self._settings, options.get("ssl_context"))
                    client = AIOKafkaClient(**options)
                    await client.bootstrap()
                    if self._closed:  # while we connected, late
                        abandon(asyncio.ensure_future(close_for_good(client)))
                        raise kafka_errors.KafkaConnectionError("closed")
                    self._client = client
                used = self._client
            try:
                return await work(used)
            finally:
                if used is not None and used is not self._client:  # given up meanwhile, and it may have opened more
                    abandon(asyncio.ensure_future(close_for_good(used)))

        try:
            answer = await within(limits.REQUEST_TIMEOUT_MS, what, connected())
        except BrokerUnavailableError as error:
            # The next question starts from the bootstrap addresses: the brokers may have moved.
            if used is self._client and used is not None:  # and not what another question has connected since
                self._client = None
                abandon(asyncio.ensure_future(close_for_good(used)))
            if self._answered_once:  # an outage, and nobody has time to look closer
                raise
            raise await explained(self._settings, error) from error
        self._answered_once = True
        return answer


def _any_node(client: AIOKafkaClient) -> int:
    """A broker to ask. A cluster that is just coming back may have named none of its brokers."""
    node: int | None = client.get_random_node()
    if node is None:
        raise kafka_errors.KafkaConnectionError("the cluster names no broker")
    return node


def _commit_codes(response: Any) -> set[int]:
    return {code for _, partitions in response.topics for _, code in partitions if code}


def _fetch_codes(response: Any) -> set[int]:
    return {code for _, rows in response.topics for *_, code in rows if code} | {getattr(response, "error_code", 0)}
