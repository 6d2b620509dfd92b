"""A store's tables, asked by the names of statements: whoever asks does not know which database has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.sql_values import Params
from kafka_saga.runtime.sqlite import Row, SqlConnection, transaction


class Tables(Protocol):
    """The statements of one store. Lists are given to them as JSON, in every dialect."""

    @property
    def slack_ms(self) -> int:
        """How much earlier than its neighbour with the smaller key a saga may have been accepted."""
        ...

    async def fetch_all(self, name: str, params: Params = ()) -> list[Row]:
        """All rows of a query."""
        ...

    async def execute(self, name: str, params: Params = ()) -> int:
        """Run one statement; the number of rows it changed."""
        ...

    async def execute_many(self, name: str, rows: Iterable[Params]) -> int:
        """Run one statement for each row of parameters; the number of rows changed in all."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """One write transaction: committed when the block ends, rolled back when it raises."""
        ...

    async def queue_acts(self, rows: Sequence[Sequence[Any]]) -> int:
        """Put acts (`act_rows.insert_row`) into the queue, and tell whoever takes them; how many were new."""
        ...

    async def note_act(self, row: Sequence[Any]) -> None:
        """Keep an act (`act_rows.noted_row`) that is done already, with the transaction that is open."""
        ...

    async def close(self) -> None:
        """Let the database go."""
        ...


@dataclass(frozen=True, slots=True)
class SqliteTables:
    """`Tables` of a SQLite file."""

    connection: SqlConnection
    slack_ms: ClassVar[int] = 0
    """One writer gives the keys, and its clock never goes back."""

    async def fetch_all(self, name: str, params: Params = ()) -> list[Row]:
        return await self.connection.fetch_all(SQL[name], params)

    async def execute(self, name: str, params: Params = ()) -> int:
        return await self.connection.execute(SQL[name], params)

    async def execute_many(self, name: str, rows: Iterable[Params]) -> int:
        return await self.connection.execute_many(SQL[name], rows)

    def transaction(self) -> AbstractAsyncContextManager[None]:
        return transaction(self.connection)

    async def queue_acts(self, rows: Sequence[Sequence[Any]]) -> int:
        async with self.transaction():
            return await self.execute_many("insert_act", rows)

    async def note_act(self, row: Sequence[Any]) -> None:
        await self.execute("note_act", row)

    async def close(self) -> None:
        await self.connection.close()
