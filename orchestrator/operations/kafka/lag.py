"""Who reads what, and how far behind: the orchestrator by its store, services by what their groups committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging.inspection import Inspection, Member
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.checks.topology import Topology, positions_of, read_topology
from kafka_saga.orchestrator.operations.checks.workers import group_of
from kafka_saga.orchestrator.operations.kafka.needed_topics import topics_read
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition: the next record that its group reads, and where its records begin and end.

    Attributes:
        position: None where nothing was read yet, or nobody has said so to Kafka.

    """

    group: str
    partition: TopicPartition
    position: int | None
    first: int
    end: int

    @property
    def behind(self) -> int:
        """Records that wait; without a position all that are there."""
        return max(0, self.end - max(self.first, self.position or 0))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        topic, number = self.partition
        return {
            "group": self.group,
            "topic": topic,
            "partition": number,
            "position": self.position,
            "first": self.first,
            "end": self.end,
            "lag": self.behind,
        }


@dataclass(frozen=True, slots=True)
class TopicLag:
    """How far behind one group reads one topic: records that wait in each partition."""

    topic: str
    group: str
    cells: list[int]

    @property
    def total(self) -> int:
        """Over all its partitions."""
        return sum(self.cells)


@dataclass(frozen=True, slots=True)
class Groups:
    """Who reads what, and how far behind, as Kafka said it at one moment.

    Attributes:
        members: of each group, by its name; nobody where programs assign partitions to themselves.

    """

    lags: Sequence[PartitionLag] = ()
    members: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)

    def by_topic(self) -> list[TopicLag]:
        """Each topic as each group reads it, by name."""
        found: dict[tuple[str, str], list[int]] = {}
        for one in self.lags:
            found.setdefault((one.partition.topic, one.group), []).append(one.behind)
        return [TopicLag(topic, group, cells) for (topic, group), cells in sorted(found.items())]


Reader = tuple[str, str]
"""A topic, and a group that reads it."""


def stand_still(before: Groups, since: Mapping[Reader, int], after: Groups, at: int) -> dict[Reader, int]:
    """Since when nothing was read of topics on which something waits.

    Args:
        before: what Kafka said the time before.
        since: what this function said then, milliseconds.
        after: what it says now; what was read between the two does not stand still.
        at: when it says so, milliseconds.

    """
    was, now = _read_so_far(before), _read_so_far(after)
    return {
        (one.topic, one.group): since.get((one.topic, one.group), at)
        for one in after.by_topic()
        if one.total and was.get((one.topic, one.group)) in {None, now[one.topic, one.group]}
    }


def _read_so_far(groups: Groups) -> dict[Reader, int]:
    found: dict[Reader, int] = {}
    for one in groups.lags:
        reader = (one.partition.topic, one.group)
        found[reader] = found.get(reader, 0) + (one.position or 0)
    return found


Positions = Mapping[TopicPartition, int]


async def read_groups(
    positions: Positions, kafka: KafkaSettings, registry: Registry, topics: TopicNames, group: str
) -> Groups:
    """Every partition of the topics that our groups read, but those that do not exist, and the groups' members.

    Args:
        positions: the orchestrator's (`store.vitals.read_offsets`), read before: what is read meanwhile must not look
            like more than there is.
        kafka: where to ask.
        registry: whose services read.
        topics: how topics are called.
        group: the orchestrator's.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    inspection = Inspection(kafka)
    try:
        lags = await _read_lags(inspection, positions, registry, topics, group)
        return Groups(lags, await inspection.members(sorted({one.group for one in lags})))
    finally:
        await inspection.close()


async def _read_lags(
    inspection: Inspection, positions: Positions, registry: Registry, topics: TopicNames, group: str
) -> list[PartitionLag]:
    read = topics_read(registry, topics)
    commands = {group_of(service, topics): topics.commands(service) for service in registry.services}
    topology = await read_topology(inspection, [*read, *commands.values()])
    asked = {service: topology.partitions(topic) for service, topic in commands.items()}
    committed = await inspection.committed(asked)
    found = _lags(group, read, positions, topology)
    for service, topic in commands.items():
        found += _lags(service, [topic], positions_of(committed[service]), topology)
    return found


def _lags(group: str, topics: Sequence[str], positions: Positions, topology: Topology) -> list[PartitionLag]:
    return [
        PartitionLag(group, tp, positions.get(tp), topology.first.get(tp, 0), topology.ends.get(tp, 0))
        for topic in topics
        for tp in topology.partitions(topic)
    ]
