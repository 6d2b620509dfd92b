"""Partitions that change hands, and the lanes that go with them (R60)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.store.members import Lanes


class Heir(Protocol):
    """Who has the partitions from now on."""

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None: ...


class Handover:
    """What a group's consumer is given as the owner of its partitions, before there is an engine."""

    def __init__(self) -> None:
        self.to: Heir | None = None

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """As `PartitionOwner`."""
        assert self.to is not None, "an engine has been made for it"
        return await self.to.assigned(partitions)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `PartitionOwner`."""
        if self.to is not None:
            await self.to.revoked(partitions)


def lanes_of(owned: Collection[TopicPartition], first_topic: str, lanes: int) -> Lanes:
    """The lanes that go with partitions: lane 3 with partition 3 of the first topic of replies by name.

    Args:
        owned: the partitions that are ours.
        first_topic: the topic that lanes are named by.
        lanes: how many lanes the store has: as many as that topic has partitions.

    """
    return Lanes(lanes, frozenset(tp.partition for tp in owned if tp.topic == first_topic and tp.partition < lanes))
