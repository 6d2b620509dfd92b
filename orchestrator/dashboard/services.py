"""The services as they are seen from here: by notes in our data directory, by their groups, and by what they read.

There is no registry of participants: one that keeps its positions in a file is no member of a group, and one on another
machine leaves no note here. So nobody is called absent who only does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kafka_saga.messaging.inspection import Member
from kafka_saga.orchestrator.dashboard.wording import length
from kafka_saga.orchestrator.http.lag_gauge import LagReading
from kafka_saga.orchestrator.operations.checks.services import PATIENCE_MS_MIN
from kafka_saga.orchestrator.operations.checks.workers import group_of
from kafka_saga.runtime.probe import Seen
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Still:
    """A group that reads nothing of a topic on which something waits, and since when, milliseconds."""

    group: str
    topic: str
    waiting: int
    since: int


@dataclass(frozen=True, slots=True)
class Service:
    """One service, as far as it shows.

    Attributes:
        notes: what its processes on this machine say of themselves.
        members: who is in its consumer group.
        waiting: commands that it has not read; None where Kafka has not told.
        still: set where it reads none of them.

    """

    name: str
    notes: tuple[Seen, ...]
    members: tuple[Member, ...]
    waiting: int | None
    still: Still | None

    @property
    def silent(self) -> Seen | None:
        """The process that has said nothing for the longest, of those that should have."""
        return max((note for note in self.notes if not note.is_alive), key=lambda note: note.silent_ms, default=None)

    @property
    def unready(self) -> Seen | None:
        """A process that lives and cannot work."""
        return next((note for note in self.notes if note.is_alive and not note.is_ready), None)


def services_seen(
    names: Iterable[str], topics: TopicNames, notes: Sequence[Seen], reading: LagReading, now: int
) -> list[Service]:
    """Every service of the definitions.

    Args:
        names: theirs.
        topics: how topics are called.
        notes: of the processes that have our data directory.
        reading: what Kafka said last.
        now: milliseconds.

    """
    waiting = {(one.topic, one.group): one.total for one in reading.groups.by_topic()}
    still = {(one.topic, one.group): one for one in standing_still(reading, now)}
    found = []
    for name in names:
        reader = (topics.commands(name), group_of(name, topics))
        members = reading.groups.members.get(reader[1], ())
        own = tuple(note for note in notes if note.process == name)
        found.append(Service(name, own, members, waiting.get(reader), still.get(reader)))
    return found


def standing_still(reading: LagReading, now: int) -> list[Still]:
    """Who has read nothing for longer than a restart takes, though something waits; the longest first."""
    waiting = {(one.topic, one.group): one.total for one in reading.groups.by_topic()}
    found = [
        Still(group, topic, waiting[topic, group], since)
        for (topic, group), since in reading.still.items()
        if now - since >= PATIENCE_MS_MIN
    ]
    return sorted(found, key=lambda one: one.since)


def ailing(services: Sequence[Service], still: Sequence[Still], now: int) -> str | None:
    """The worst that shows of who works, as a sentence without its full stop; None where all do as far as it shows.

    Args:
        services: all of them.
        still: who reads nothing, the orchestrator's group, too.
        now: milliseconds.

    """
    silent = next((note for one in services if (note := one.silent)), None)
    if silent is not None:
        return f"{silent.process} has said nothing for {length(silent.silent_ms)}: it hangs, or was killed"
    if still:
        waits = counted(still[0].waiting, "message waits", "messages wait")
        return f"{still[0].group} has read nothing of {still[0].topic} for {length(now - still[0].since)}, and {waits}"
    unready = next((note for one in services if (note := one.unready)), None)
    return None if unready is None else unready.in_words()
