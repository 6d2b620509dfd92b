"""Putting a backup back, and beginning the store's new life (R59).

What an earlier life sent is still in the topics. Commands and replies of before are not applied: a service whose
database is restored may decide otherwise the second time, and an old reply would then speak of what never happened.
So each restored reader reads on at the topics' ends, and every command that is awaited is sent again. Requests are
read from where the copy was. See docs/decisions/0017.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kafka_saga.messaging.inspection import EARLIEST, LATEST, Inspection
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.lives import Life
from kafka_saga.runtime.backup import sync
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.replacing import forget_prepared, prepared_path
from kafka_saga.runtime.sqlite import SqlConnection, open_inline, translated_errors
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

Change = Callable[[Path], Awaitable[None]]
"""Has a service's database go on from what is done already."""

Begin = Callable[[SqlConnection], Awaitable[int]]
"""Begins the new life of the orchestrator's store on a connection; how many commands are sent again."""


@dataclass(frozen=True, slots=True)
class Target:
    """A database to replace, and the copy that replaces it."""

    owner: str
    path: Path
    copy: Path


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the topics begin and end now: every partition that exists, to the broker's own end."""

    first: Mapping[TopicPartition, int] = field(default_factory=dict)
    end: Mapping[TopicPartition, int] = field(default_factory=dict)

    def of(self, *topics: str) -> dict[TopicPartition, int]:
        """The ends of these topics' partitions."""
        wanted = set(topics)
        return {tp: offset for tp, offset in self.end.items() if tp.topic in wanted}

    def between(self, positions: Mapping[TopicPartition, int], *topics: str) -> tuple[int, int]:
        """How many records of `topics` lie after `positions`, and how many of them Kafka has no more."""
        there = lost = 0
        for tp, end in self.of(*topics).items():
            first, position = self.first.get(tp, end), positions.get(tp, 0)
            there += max(0, end - max(first, position))
            lost += max(0, first - position) if tp in positions else 0
        return there, lost


async def topic_ends(inspection: Inspection, topics: Sequence[str]) -> Ends:
    """Where `topics` begin and end; those that do not exist have no records.

    Raises:
        BrokerUnavailableError: Kafka does not answer, or not for each partition.

    """
    found = {topic: states for topic, states in (await inspection.partitions()).items() if topic in set(topics)}
    first = await inspection.offsets(found, EARLIEST, whole=True)
    end = await inspection.offsets(found, LATEST, whole=True)
    missing = {TopicPartition(topic, number) for topic, states in found.items() for number in range(len(states))}
    missing -= first.keys() & end.keys()
    if missing:
        topic, number = min(missing)
        raise BrokerUnavailableError(f"where {topic}[{number}] ends cannot be asked now: it has no leader; try again")
    return Ends(first, end)


async def unhandled(inspection: Inspection, names: TopicNames, services: Sequence[str], ends: Ends) -> dict[str, int]:
    """How many commands of before each of `services` has not handled yet, by what its group has committed.

    Services that are not restored must have handled them all before the orchestrator's new life begins: one that
    handles an old action and then its old compensation would tell the new life of the first before the second.
    """
    wanted = {f"{names.prefix}{service}": ends.of(names.commands(service)) for service in services}
    committed = await inspection.committed({group: list(partitions) for group, partitions in wanted.items()})
    left: dict[str, int] = {}
    for service, (group, partitions) in zip(services, wanted.items(), strict=True):
        done = {partition: commit.offset for partition, commit in committed[group].items()}
        lag = sum(max(0, end - done.get(tp, ends.first.get(tp, 0))) for tp, end in partitions.items())
        if lag:
            left[service] = lag
    return left


def new_life(
    registry: Registry,
    topics: TopicNames,
    ends: Ends,
    *,
    restored: set[str],
    earlier: int,
    errors: Mapping[SagaRef, str],
    now: int,
) -> tuple[Life, dict[TopicPartition, int]]:
    """The life that begins when the orchestrator's store is restored, and where it reads its replies on.

    Args:
        registry: what the orchestrator runs.
        topics: how topics are called.
        ends: of its topics.
        restored: the services whose databases are restored with it.
        earlier: the highest number of a life that is known.
        errors: why sagas failed, by the events that were told since the copy was made.
        now: milliseconds.

    """
    ahead = tuple(service for service in registry.services if service not in restored)
    requests = [topics.requests(saga_type) for saga_type in registry.saga_types]
    replies = [topics.replies_of(service) for service in registry.services]
    # The time, because a copy that is restored twice knows of no life that came between.
    number = max(now // 1_000, earlier + 1)
    return Life(number, ahead, ends.of(*requests), errors), ends.of(*replies)


async def prepare_orchestrator(target: Target, begin: Begin) -> int:
    """Make of the orchestrator's copy what takes the place of its store; how many commands go out again."""
    prepared = _copied(target)
    connection = await open_inline(prepared)
    try:
        again = await begin(connection)
    finally:
        await connection.close()  # writes its log into the file, and removes it
    sync(prepared)
    return again


async def prepare_service(target: Target, change: Change) -> None:
    """Make of a service's copy what takes the place of its database."""
    prepared = _copied(target)
    await change(prepared)
    sync(prepared)


def _copied(target: Target) -> Path:
    prepared = prepared_path(target.path)
    with translated_errors(prepared):
        forget_prepared([target.path])  # by a restore that was interrupted
        prepared.touch(mode=0o600)
        shutil.copyfile(target.copy, prepared)
        sync(prepared)
    return prepared


def topics_of(registry: Registry, names: TopicNames) -> list[str]:
    """Every topic whose ends a restore must know."""
    types, services = registry.saga_types, registry.services
    return [
        *(names.requests(saga_type) for saga_type in types),
        *(names.events(saga_type) for saga_type in types),
        *(names.replies_of(service) for service in services),
        *(names.commands(service) for service in services),
    ]
