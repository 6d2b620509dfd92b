"""What Kafka has of our topics: asked once, in a handful of requests, and judged by several checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.inspection import EARLIEST, LATEST, Inspection, PartitionState
from kafka_saga.messaging.records import TopicPartition


@dataclass(frozen=True, slots=True)
class Topology:
    """Topics, and where the records of some of them begin and end."""

    topics: Mapping[str, tuple[PartitionState, ...]] = field(default_factory=dict)
    first: Mapping[TopicPartition, int] = field(default_factory=dict)
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic; none where it does not exist."""
        return [TopicPartition(topic, number) for number in range(len(self.topics.get(topic, ())))]

    def records(self, topics: Iterable[str]) -> int:
        """How many records lie on `topics`."""
        return sum(self.records_of(tp) for topic in topics for tp in self.partitions(topic))

    def records_of(self, tp: TopicPartition) -> int:
        """How many records lie in a partition."""
        return max(0, self.ends.get(tp, 0) - self.first.get(tp, 0))

    def closed(self, configs: Mapping[str, Mapping[str, str]] | None, wanted: Collection[str]) -> dict[str, str]:
        """Which of the topics `wanted` cannot take messages now, and why."""
        why: dict[str, str] = {}
        for name in wanted:
            states = self.topics.get(name)
            needed = int((configs or {}).get(name, {}).get("min.insync.replicas", "1"))
            if states is None:
                why[name] = "the topic does not exist"
            elif any(state.leader < 0 for state in states):
                why[name] = "a partition has no leader"
            elif any(0 < state.in_sync < needed for state in states):
                why[name] = f"it needs {needed} copies in sync"
        return why


async def read_topology(inspection: Inspection, wanted: Collection[str]) -> Topology:
    """Every topic, and first and last offsets of those of `wanted` that exist."""
    topics = await inspection.partitions()
    some = {name: topics[name] for name in wanted if name in topics}
    if not some:
        return Topology(topics)
    return Topology(topics, await inspection.offsets(some, EARLIEST), await inspection.offsets(some, LATEST))


def unread(
    topology: Topology, topic: str, positions: Mapping[TopicPartition, int]
) -> tuple[int, dict[TopicPartition, int], dict[TopicPartition, int]]:
    """How many records of `topic` lie behind `positions`, a partition without one being read from its start.

    Beside it: how many were deleted before they were read, and positions beyond the end, both by partition.
    """
    waiting, deleted, beyond = 0, {}, {}
    for tp in topology.partitions(topic):
        first, end = topology.first.get(tp), topology.ends.get(tp)
        if first is None or end is None:
            continue
        position = positions.get(tp, first)
        if position > end:
            beyond[tp] = position - end
        elif position < first:
            deleted[tp] = first - position
        waiting += max(0, end - max(first, position))
    return waiting, deleted, beyond


def positions_of(committed: Mapping[TopicPartition, Committed]) -> dict[TopicPartition, int]:
    """The offsets of commits."""
    return {tp: commit.offset for tp, commit in committed.items()}
