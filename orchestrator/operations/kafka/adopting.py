"""Making a consumer group this store's own: where its topics are read from, and what that means (R22).

Needed after two stores have read for one group, after a program that is not ours, and where a database is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kafka_saga.messaging.claims import SETTLE_MS, in_words, others_than
from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.errors import GroupInUseError, UnknownTopicError
from kafka_saga.messaging.inspection import EARLIEST, LATEST, Inspection
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, RefusedError
from kafka_saga.runtime.store_lock import WATCH_MS

Begin = Literal["committed", "earliest", "end"]
"""Where to read on: where the group's last owner was, at the first record that Kafka still has, or after the last."""


class Place(NamedTuple):
    """One partition, and what becomes of its records.

    Attributes:
        position: where it is read from.
        end: where it ends now.
        again: records that others have handled and this database has not: they are done a second time.
        known: records that this database has handled before: it answers them from memory, and does nothing.
        skipped: records that nobody has handled, and nobody will.
        new: records that nobody has handled, and this store will.

    """

    position: int
    end: int
    again: int
    known: int
    skipped: int
    new: int


class Opened(NamedTuple):
    """A store that nobody else works on, and how to set its offsets."""

    store_id: str
    stored: Mapping[TopicPartition, int]
    move: Callable[[Mapping[TopicPartition, int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Adoption:
    """What is about to be done.

    Attributes:
        group: the consumer group.
        places: every partition that is read.
        committed: what the group has committed so far.

    """

    group: str
    places: Mapping[TopicPartition, Place]
    committed: Mapping[TopicPartition, Committed]

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each partition."""
        return {tp: place.position for tp, place in self.places.items()}

    def total(self, what: Literal["again", "known", "skipped", "new"]) -> int:
        """The records of one kind, of all partitions."""
        return sum(getattr(place, what) for place in self.places.values())


def place(begin: Begin, first: int, end: int, theirs: int | None, ours: int | None) -> Place:
    """Where one partition is read from.

    Args:
        begin: what was chosen.
        first: the first offset that Kafka still has.
        end: the offset after the last record.
        theirs: what the group has committed.
        ours: what this store has read.

    """
    reached = min(max(theirs if theirs is not None else first, first), end)
    read = min(max(ours if ours is not None else first, first), end)
    committed = read if theirs is None else reached
    position = {"committed": committed, "earliest": first, "end": end}[begin]
    return Place(
        position,
        end,
        again=max(0, reached - max(position, read)),
        known=max(0, read - position),
        skipped=max(0, position - max(reached, read)),
        new=end - max(position, reached, read),
    )


async def examine(
    inspection: Inspection,
    group: str,
    topics: Collection[str],
    stored: Mapping[TopicPartition, int],
    begin: Begin,
) -> Adoption:
    """Look what adopting `group` would mean; nothing is changed.

    Args:
        inspection: of the cluster.
        group: what is to be adopted.
        topics: what its owner reads.
        stored: the next offset of each partition that this store has read.
        begin: where it shall read on.

    Raises:
        UnknownTopicError: one of `topics` does not exist.
        BrokerUnavailableError: Kafka does not answer, or a partition has no leader.

    """
    every = await inspection.partitions()
    missing = [topic for topic in topics if topic not in every]
    if missing:
        raise UnknownTopicError(missing)
    read = {topic: every[topic] for topic in sorted(topics)}
    partitions = [TopicPartition(topic, number) for topic, states in read.items() for number in range(len(states))]
    first = await inspection.offsets(read, EARLIEST)
    ends = await inspection.offsets(read, LATEST, whole=True)
    silent = [f"{topic}[{number}]" for topic, number in partitions if (topic, number) not in ends.keys() & first.keys()]
    if silent:
        raise BrokerUnavailableError(f"no broker answers for {', '.join(silent)}: try again when it does")
    committed = await inspection.committed_by(group, partitions)
    places = {
        tp: place(begin, first[tp], ends[tp], committed[tp].offset if tp in committed else None, stored.get(tp))
        for tp in partitions
    }
    return Adoption(group, places, committed)


async def take_over(inspection: Inspection, adoption: Adoption, store_id: str, clock: Clock) -> None:
    """Make the group the store's; an owner that still runs stops within two seconds of it.

    Raises:
        RefusedError: another program goes on committing, or is a member of the group.
        BrokerUnavailableError: Kafka does not answer.

    """
    try:
        await inspection.commit(adoption.group, adoption.positions, store_id)
    except GroupInUseError as error:
        raise RefusedError(f"{error}: stop it, then adopt the group again") from error
    if not others_than(store_id, adoption.committed):
        return
    await clock.sleep(WATCH_MS + SETTLE_MS)
    found = await inspection.committed_by(adoption.group, adoption.places)
    others = others_than(store_id, found)
    if others:
        raise RefusedError(
            f"group '{adoption.group}' is still read for by {in_words(others)}: stop it, then adopt the group again"
        )
