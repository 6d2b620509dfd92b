"""The port: what the guard and the worker need to remember. All but `open` and reads run inside a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import FenceRow
from kafka_saga.participants.undone import UndoneError
from kafka_saga.runtime.errors import StoreUnavailableError
from kafka_saga.runtime.sqlite import SqlConnection
from kafka_saga.schemas.envelope import CommandHead

Prepare = Callable[[Any], Awaitable[None]]
"""Creates a service's own tables where they are missing, and fills them; runs at every start.

What it is given goes with what handlers take: a `SqlConnection` with `Transaction`, an `asyncpg.Connection`, or with
`AsyncSession` an `AsyncConnection`.
"""


class PruneStep(NamedTuple):
    """What one step of pruning did: rows forgotten, and where to go on; None where all that is left is too young."""

    rows: int
    next_row: int | None


class Workplace(Protocol):
    """Where handlers write: each in a savepoint of its own, inside the batch's transaction."""

    @property
    def grace_ms(self) -> int:
        """How much longer than its time a handler is waited for, because the server ends its statements itself."""
        ...

    async def enter(self, head: CommandHead, now_ms: int, limit_ms: int) -> Any:
        """Begin one command's savepoint; what its handler is given to write with.

        Args:
            head: the command's.
            now_ms: the batch's time.
            limit_ms: how long the handler may take.

        """
        ...

    def finish(self, given: Any) -> int | Awaitable[int]:
        """Carry out what the handler has left to be written; how many of its statements it did not await.

        A number where there is nothing to wait for: of a command on SQLite, a coroutine is a hundredth.
        """
        ...

    def shut(self) -> None:
        """The handler has ended without an answer, so that there is nothing to `leave`."""
        ...

    async def leave(self, given: Any, *, keep: bool) -> str | None:
        """End the savepoint; nothing of it stays unless `keep`, or where the answer says why nothing could.

        Raises:
            TransactionLostError: the batch's transaction is gone, and everything in it.
            TransactionEscapedError: it was ended, and what others had written is kept.

        """
        ...

    def undone_by(self, error: BaseException) -> UndoneError | StoreUnavailableError | None:
        """What an error that left a handler says of the whole batch; None where it is the handler's own affair."""
        ...

    def is_too_slow(self, error: BaseException) -> bool:
        """Whether the server ended a statement that took longer than the handler may."""
        ...

    def interrupted(self, why: str) -> UndoneError | None:
        """What it means that a handler was cancelled where it waited; None where nothing is left of it."""
        ...


class ParticipantStore(Protocol):
    """A participant's memory, in the same database as its service's own tables."""

    @property
    def store_id(self) -> str:
        """Names this store; committed to Kafka beside the offsets (R22)."""
        ...

    @property
    def connection(self) -> SqlConnection:
        """The one connection that guard and handlers share."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other workers use it at the same time, and a server that may be away for a while."""
        ...

    @property
    def commands_max(self) -> int | None:
        """How many commands fit into one transaction; None: all that there are."""
        ...

    def workplace(self) -> Workplace:
        """Where handlers write. To be asked once; from then on their SQL is kept inside its transaction."""
        ...

    async def ready(self) -> bool:
        """Have a connection, a new one where the last was lost: whether that is so.

        Raises:
            StoreUnavailableError: the server does not answer.

        """
        ...

    async def prepare(self, prepare: Prepare) -> None:
        """Have `prepare` make the service's tables, with what its handlers are given, outside of any transaction."""
        ...

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[None]:
        """One write transaction: committed when the block ends, rolled back when it raises.

        Args:
            alone: it is of one command that was in a batch which could not be kept.

        """
        ...

    async def newest_ms(self) -> int:
        """The latest time that was written; `now` never goes behind it (R27). 0 for a new store."""
        ...

    async def load(self, keys: Iterable[FenceKey]) -> dict[FenceKey, FenceRow]:
        """The fence rows that exist of `keys`, in one query; nobody else changes them before the transaction ends."""
        ...

    async def save(self, rows: Iterable[FenceRow]) -> None:
        """Insert or replace fence rows that were loaded, or not found, in this transaction.

        Raises:
            FenceTakenError: another worker has written one of those that were not there.

        """
        ...

    async def prune(self, before_ms: int, from_row: int, rows_max: int) -> PruneStep:
        """Look at the next `rows_max` fence rows, the oldest first; forget what is settled and untouched since then.

        Args:
            before_ms: since when (R16).
            from_row: 0, or where the last step said to go on.
            rows_max: how many rows are looked at.

        """
        ...

    async def tidy(self) -> bool:
        """Make the database small while nothing comes; whether that succeeded."""
        ...

    async def offsets(self) -> dict[TopicPartition, int]:
        """The next offset to read, for each partition that was ever read."""
        ...

    async def move_offsets(
        self, expected: Mapping[TopicPartition, int | None], to: Mapping[TopicPartition, int], now_ms: int
    ) -> None:
        """Set offsets that are still `expected` (None: no row yet).

        Raises:
            ConflictError: another owner moved one of them; nothing may be kept of this transaction (R23).

        """
        ...

    async def close(self) -> None:
        """Close the database."""
        ...
