"""What replicas ask of the store they share: who is alive, who follows whom, and how far all of them have read.

Kafka's group says who reads what; here is who may write. A *life* is one run of one replica. Every batch proves in its
own transaction that its author still lives (R62), so that whoever takes over after a dead one has all it ever wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from zlib import crc32

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.store.port import Counted, OutboxId, OutboxRow, Store
from kafka_saga.schemas.ids import SagaRef


def hash_of(saga_id: str) -> int:
    """What decides the lane of a saga: as our producers, and librdkafka's, choose a partition by the record key."""
    return crc32(saga_id.encode())


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes that one replica owns: it alone fires their timers, admits their sagas and takes their acts.

    Ownership only saves work: two owners of one lane for a moment, or none, harm nothing.

    Attributes:
        count: how many lanes the store has.
        mine: which of them are ours, from 0 on.

    """

    count: int = 1
    mine: frozenset[int] = frozenset()

    def has(self, ref: SagaRef) -> bool:
        """Whether the saga is in a lane of ours."""
        return hash_of(ref.saga_id) % self.count in self.mine

    @property
    def owns_all(self) -> bool:
        """Whether nobody else owns any."""
        return len(self.mine) == self.count

    @property
    def has_first(self) -> bool:
        """Whether what belongs to no saga is ours: acts on a scope, and counting partitions."""
        return 0 in self.mine


class Joining(NamedTuple):
    """Who begins a life.

    Attributes:
        name: what the replica is called, the same after each of its restarts.
        program: its version.
        definitions: the sagas it knows, for people.
        window: how many sagas it would let run at once (R72).
        lanes: how many lanes the store gets where it has none yet.

    """

    name: str
    program: str
    definitions: str
    window: int
    lanes: int


class Peer(NamedTuple):
    """A life as one beat shows it; it is dead where its `beat` stands still for long enough (R61)."""

    replica: int
    name: str
    beat: int


class Sums(NamedTuple):
    """What all lives, also those of before, come to together (R72, R73).

    Attributes:
        in_flight: sagas under way that nothing holds.
        pending: sagas that wait for admission and that nothing holds.
        unsent: messages that are not known to be published.
        window: the smallest window of the living.

    """

    in_flight: int = 0
    pending: int = 0
    unsent: int = 0
    window: int = 0


@dataclass(frozen=True, slots=True)
class Horizon:
    """What timers are decided from (R70). All of it only becomes truer, so it may be read before the batch.

    Attributes:
        next_wake_at: no timer of any saga runs out before this moment; None where none is set.
        counted: the topics whose partitions were counted.
        drained: up to which moment each partition was read to its end, and that committed.
        oldest_unsent_at: when the oldest row of anybody's outbox was decided; None where there is none. Rows of which
            only what one topic refuses is left are not among them.
        withheld: these topics, each with the oldest of its rows (R73).
        outage_ended_at: when the broker was back, by whichever life noticed that last.

    """

    next_wake_at: int | None = None
    counted: Mapping[str, Counted] = field(default_factory=dict)
    drained: Mapping[TopicPartition, int] = field(default_factory=dict)
    oldest_unsent_at: int | None = None
    outage_ended_at: int = 0
    withheld: Mapping[str, int] = field(default_factory=dict)

    def reached_at(self, topics: Iterable[str]) -> int:
        """What all of `topics` held at this moment is read: 0 while a partition of them is unknown, or unread."""
        return min((at for _, _, at in self._reached(topics)), default=0)

    def unread(self, topics: Iterable[str], moment: int) -> list[str]:
        """What of `topics` is not known to be read up to `moment`: partitions; a topic whose partitions are unknown."""
        behind = [(topic, number) for topic, number, at in self._reached(topics) if at < moment]
        return [topic if number is None else f"{topic}[{number}]" for topic, number in behind]

    def _reached(self, topics: Iterable[str]) -> Iterator[tuple[str, int | None, int]]:
        """Up to which moment each topic's partitions were counted, and each of them read."""
        for topic in topics:
            counted = self.counted.get(topic, Counted(0, 0))
            yield topic, None, counted.at
            for number in range(counted.partitions):
                yield topic, number, self.drained.get(TopicPartition(topic, number), 0)


class Members(Protocol):
    """The port. One object is one replica's; it has no life before `join`."""

    @property
    def replica(self) -> int:
        """The number of our life; 0 before the first. Later lives have higher numbers."""
        ...

    @property
    def sums(self) -> Sums:
        """As the last batch or beat of ours saw them."""
        ...

    @property
    def lanes(self) -> int:
        """How many lanes the store has, as `join`, or `pauses` of the store, read it last."""
        ...

    async def join(self, joining: Joining) -> None:
        """Begin a new life, and forget every row in memory. The sums are counted anew.

        Another life of the same name may be live: the caller watches whether it is, and leaves, or buries it.
        """
        ...

    async def beat(self, window: int) -> tuple[Peer, ...]:
        """Say that we live; all that do, by number, ourselves too: where we are not among them our life is over.

        It also sets our clock by the store's (R64).
        """
        ...

    async def bury(self, peer: Peer) -> bool:
        """Declare a life dead whose beat still is the one that was seen, and follow it; whether that was done.

        What it had in flight counts as ours from then on, and `inherit` has what it left unpublished.
        """
        ...

    async def leave(self) -> None:
        """End our own life; what is unpublished goes to whoever inherits it."""
        ...

    async def inherit(self) -> list[OutboxRow]:
        """Become the heir of every ended life that has none alive; what it left, in its order (R73).

        Raises:
            ConflictError: our own life is over (`life`).

        """
        ...

    async def withhold(self, rows: Mapping[OutboxId, str]) -> None:
        """Of these rows of ours only what a topic refuses is left, and which: no other topic's timers wait for it."""
        ...

    async def horizon(self) -> Horizon:
        """What timers are decided from."""
        ...

    def own(self, lanes: Lanes) -> None:
        """From now on `pending`, `held`, `due`, `waiting_acts` are about these lanes; rows in memory are forgotten."""
        ...


class SharedStore(Store, Protocol):
    """A store of which several replicas have an object each."""

    @property
    def members(self) -> Members: ...
