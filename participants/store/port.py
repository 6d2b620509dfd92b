"""The port: what the guard and the worker need to remember. All but `open` and reads run inside a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import FenceRow
from kafka_saga.runtime.confinement import Confinement
from kafka_saga.runtime.sqlite import SqlConnection

Prepare = Callable[[SqlConnection], Awaitable[None]]
"""Creates a service's own tables where they are missing, and fills them; runs at every start."""


class PruneStep(NamedTuple):
    """What one step of pruning did: rows forgotten, and where to go on; None where all that is left is too young."""

    rows: int
    next_row: int | None


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

    def confine(self) -> Confinement:
        """Have handlers' SQL kept inside its transaction, and off the tables of the guard, where the answer says so."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """One write transaction: committed when the block ends, rolled back when it raises."""
        ...

    async def newest_ms(self) -> int:
        """The latest time that was written; `now` never goes behind it (R27). 0 for a new store."""
        ...

    async def load(self, keys: Iterable[FenceKey]) -> dict[FenceKey, FenceRow]:
        """The fence rows that exist of `keys`, in one query."""
        ...

    async def save(self, rows: Iterable[FenceRow]) -> None:
        """Insert or replace fence rows."""
        ...

    async def prune(self, before_ms: int, from_row: int, rows_max: int) -> PruneStep:
        """Look at the next `rows_max` fence rows, the oldest first; forget what is settled and untouched since then.

        Args:
            before_ms: since when (R16).
            from_row: 0, or where the last step said to go on.
            rows_max: how many rows are looked at.

        """
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
