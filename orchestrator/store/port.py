"""What the engine asks of a store. Adapters hold no rules: they remember, and refuse what is no longer true."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.lives import Life
from kafka_saga.orchestrator.store.retention import Purged, PurgeStep, QueuedPurge
from kafka_saga.schemas.ids import SagaRef


@dataclass(frozen=True, slots=True)
class Started:
    """A new saga: it has no row yet. `saga` is as it is at the end of the batch that accepted it."""

    saga: Saga
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """A saga that was at `version_read` and is now `saga`."""

    saga: Saga
    version_read: int


@dataclass(frozen=True, slots=True)
class QueuedAct:
    """An operator's verb that waits for its outcome."""

    act: Act
    ref: SagaRef


@dataclass(frozen=True, slots=True)
class UnreadableAct:
    """A row of `acts` that this program does not understand: a newer one, or a hand, wrote it. It is refused."""

    act_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ActOutcome:
    """What became of an act: `done`, `unchanged` or `refused`, and a sentence."""

    act_id: str
    outcome: str
    message: str


NO_SAGA = SagaRef("", "")
"""What an act is on that is not about one saga."""


@dataclass(frozen=True, slots=True)
class NotedAct:
    """What somebody did that needs nobody to take it: it is kept among the acts with its outcome.

    Attributes:
        act_id: the same id twice is one act.
        ref: the saga that it is about.
        word: what was done, as people say it; no verb of a saga's.
        actor: who did it.
        reason: why; empty where nobody asked.
        message: a sentence on what came of it.
        arguments: the rest of it.

    """

    act_id: str
    ref: SagaRef
    word: str
    actor: str
    reason: str
    message: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Advance:
    """An input partition was read from `read_from` up to but not including `next`."""

    read_from: int | None
    next: int


@dataclass(frozen=True, slots=True)
class Outage:
    """What is known of the broker's absence: waits for replies begin when it ended, in whichever life that was (R21).

    Attributes:
        ended_at: everything decided up to here was published then at the latest.
        is_on: the broker was not answering when this was written.

    """

    ended_at: int = 0
    is_on: bool = False


class OutboxId(NamedTuple):
    """A row of the outbox.

    Attributes:
        writer: the life that wrote it; always 0 where a store has one owner only.
        seq: which of the writer's rows it is; they grow.

    """

    writer: int
    seq: int


class Drained(NamedTuple):
    """A partition whose end was asked for at `at`, and is read when the store has `next` of it (R69)."""

    next: int | None
    at: int


class Counted(NamedTuple):
    """How many partitions a topic had when its brokers were asked at `at`."""

    partitions: int
    at: int


@dataclass(slots=True)
class Batch:
    """Everything one transaction writes."""

    now: int
    started: list[Started] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    unchanged: list[Saga] = field(default_factory=list)
    """Sagas that were looked at and left as they are: what was decided of them holds only while they are so (R66)."""
    log: list[tuple[SagaRef, LogEntry]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    published: list[OutboxId] = field(default_factory=list)
    """Outbox rows whose messages are known to be published."""
    rewritten: dict[OutboxId, list[Message]] = field(default_factory=dict)
    """Outbox rows that stay, and what stays of them: a command of which this batch tells its saga that it was not sent
    must not be sent after a crash (R56)."""
    offsets: dict[TopicPartition, Advance] = field(default_factory=dict)
    acts: list[ActOutcome] = field(default_factory=list)
    noted: list[NotedAct] = field(default_factory=list)
    """Who asked for the new sagas, where their requests say so."""
    pauses: dict[str, Pause | None] = field(default_factory=dict)
    """Pauses that begin, by scope; None lifts one. They come with the outcome of the act that asked for them."""
    outage: Outage | None = None
    """What is known of outages now, where that has changed (R21)."""
    resets: list[Reset] = field(default_factory=list)
    """Stored positions that Kafka has no more (R23): the newest of each partition is kept, to tell what was lost."""
    in_flight: int = 0
    """How many more sagas are under way than before, where replicas count them together (R72)."""
    pending: int = 0
    """How many more wait for admission."""
    drained: dict[TopicPartition, Drained] = field(default_factory=dict)
    """Own partitions that are read to their end with this batch, or were before it (R69)."""
    counted: dict[str, Counted] = field(default_factory=dict)
    """Topics whose partitions were counted, by the owner of the first lane."""
    lanes: int | None = None
    """How many lanes the store has from now on, where that changes."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.started or self.changed or self.messages or self.published or self.offsets or self.acts)


@dataclass(frozen=True, slots=True)
class Loss:
    """A position that had to be given up, and when."""

    at: int
    reset: Reset


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One batch's unpublished messages."""

    outbox_id: OutboxId
    created_at: int
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Known:
    """A saga the store has, with the hash of the request that started it (R3)."""

    saga: Saga
    request_hash: bytes


class Registered(NamedTuple):
    """A definition as the code has it (R30).

    Attributes:
        description: what the fingerprint is of.
        earlier_fingerprint: what the same definition was known by before descriptions were stored.

    """

    saga_type: str
    version: int
    fingerprint: str
    description: str
    earlier_fingerprint: str


class Meaning(NamedTuple):
    """What is on record of a version: what it meant when it first ran here."""

    fingerprint: str
    description: str | None
    """None where it first ran before descriptions were stored."""


class Store(Protocol):
    """The port."""

    @property
    def store_id(self) -> str:
        """Names this store for ever, also in Kafka's commit metadata (R22)."""
        ...

    def now(self) -> int:
        """The store's clock, milliseconds: the wall clock, but never before what it has seen (R27)."""
        ...

    async def load(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Known]:
        """The sagas of `refs` that exist."""
        ...

    async def pending(self, limit: int, paused_types: Collection[str] = ()) -> list[SagaRef]:
        """Sagas that wait for admission, oldest first; not those that are held, or of a paused type."""
        ...

    async def due(self, now: int, limit: int) -> list[SagaRef]:
        """Sagas whose timer has run out at `now`, oldest first."""
        ...

    async def next_wake_at(self) -> int | None:
        """When the next timer runs out, or None."""
        ...

    async def waiting_acts(self, limit: int) -> list[QueuedAct | UnreadableAct]:
        """Acts without an outcome, oldest first."""
        ...

    async def commit(self, batch: Batch) -> OutboxId | None:
        """Write a batch in one transaction; the outbox row of its messages, None where it has none.

        Raises:
            ConflictError: a saga, an offset, a new id or an act is not as the batch read it; nothing was written. A
                saga that was read from the store itself and left unchanged need not be compared.

        """
        ...

    def locked(self, refs: Iterable[SagaRef], /) -> AbstractAsyncContextManager[None]:
        """Until the commit inside it, or its end: nobody else changes those of `refs` that exist (R67).

        They are read anew, and `load` inside it has them as they are then. A store that has one writer only may
        grant that at no cost.

        Raises:
            ConflictError: somebody else has held one of them for too long.

        """
        ...

    async def outbox(self) -> list[OutboxRow]:
        """What is not known to be published, oldest first."""
        ...

    async def outage(self) -> Outage:
        """What the last batch that said so knew of outages."""
        ...

    async def life(self) -> Life:
        """Which life of the store this is, and what it must know of those before (R59)."""
        ...

    async def offsets(self) -> dict[TopicPartition, int]:
        """The next offset of every input partition that was ever read (R23)."""
        ...

    async def losses(self) -> list[Loss]:
        """The positions that had to be given up, the newest of each partition."""
        ...

    async def count_states(self) -> dict[SagaState, int]:
        """How many unfinished sagas are in each state."""
        ...

    async def pauses(self) -> dict[str, Pause]:
        """What is paused, by scope.

        Where replicas share the store, a batch is refused (`settings`) once that has changed since the last call.
        """
        ...

    async def held(self, scope: str, limit: int) -> list[SagaRef]:
        """Sagas held by `scope`: what is being undone first, then the oldest."""
        ...

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        """How many sagas are held, by scope and state."""
        ...

    async def count_pending_of(self, saga_types: Collection[str]) -> int:
        """How many sagas of these types wait for admission and are not held."""
        ...

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        """The (type, version) pairs that unfinished sagas are pinned to."""
        ...

    async def unfinished_of(self, saga_type: str, version: int, limit: int) -> list[SagaRef]:
        """Unfinished, not yet parked sagas pinned to one version (R30)."""
        ...

    async def register(self, definitions: Sequence[Registered]) -> Mapping[tuple[str, int], Meaning]:
        """Note the definitions that are new here; what is on record of every (type, version)."""
        ...

    async def load_purged(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
        """What is kept of those of `refs` that were purged (R29)."""
        ...

    async def waiting_purges(self) -> list[QueuedPurge]:
        """The purges that operators asked for and that are not done, oldest first."""
        ...

    async def purge(self, queued: QueuedPurge, rows_max: int) -> PurgeStep:
        """Look at the next `rows_max` sagas of a purge and purge what it wants, in one transaction of its own."""
        ...

    async def forget_purged(self, before: int, rows_max: int) -> int:
        """Forget what is kept of sagas purged before `before`, the oldest of `rows_max` rows; how many."""
        ...

    async def forget_acts(self, before: int, from_key: int, rows_max: int) -> PurgeStep:
        """Look at the next `rows_max` acts, and forget those decided before `before` whose saga is gone."""
        ...

    async def tidy(self) -> bool:
        """Give back the space that is no longer needed; false where a reader holds on to it still."""
        ...

    def held_bytes(self) -> int:
        """How much more than its data the store takes because a reader beside it holds on to what was."""
        ...

    async def close(self) -> None:
        """Leave the store as it is and let it go."""
        ...
