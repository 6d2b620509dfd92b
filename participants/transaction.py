"""What a handler gets to work with: its service's own database, inside the guard's transaction."""

from __future__ import annotations

import re
from functools import lru_cache

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.sqlite import Params, Row, SqlConnection
from kafka_saga.schemas.envelope import CommandHead

_CONTROL = re.compile(r"\s*(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|ATTACH|DETACH|PRAGMA|VACUUM)\b", re.IGNORECASE)


class Transaction:
    """One command's part of a batch's transaction: all it writes is kept if its handler returns, else nothing.

    Attributes:
        command: the command's head. What to undo is found by `command.parsed_id.saga_id` and `.step` (R15).
        now_ms: the time of this batch, milliseconds since 1970; it never goes backwards (R27).

    """

    __slots__ = ("_connection", "command", "now_ms")

    def __init__(self, connection: SqlConnection, command: CommandHead, now_ms: int) -> None:
        self._connection: SqlConnection | None = connection
        self.command = command
        self.now_ms = now_ms

    @property
    def saga_id(self) -> str:
        """The saga that the command is of."""
        return self.command.parsed_id.saga_id

    @property
    def step(self) -> str:
        """The step's name; its action and its compensation have the same."""
        return self.command.parsed_id.step

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement; the number of rows it changed.

        Raises:
            UsageError: the statement would end the transaction, or the handler has ended.

        """
        return await self._open(sql).execute(sql, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        """Run one query (or a statement with RETURNING); its first row, or None."""
        rows = await self._open(sql).fetch_all(sql, params)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one query (or a statement with RETURNING); all its rows."""
        return await self._open(sql).fetch_all(sql, params)

    def close(self) -> None:
        """End the handler's access: a task it left behind must not write into its neighbours' work."""
        self._connection = None

    def _open(self, sql: str) -> SqlConnection:
        if self._connection is None:
            raise UsageError("the transaction is over: a handler must await all its statements before it returns")
        if _controls_transaction(sql):
            raise UsageError("the transaction belongs to the guard: raise Rejected, or any other exception, to undo it")
        return self._connection


@lru_cache(maxsize=1024)
def _controls_transaction(sql: str) -> bool:
    return _CONTROL.match(sql) is not None
