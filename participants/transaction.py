"""What a handler gets to work with: its service's own database, inside the guard's transaction."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.sql_values import Params
from kafka_saga.runtime.sqlite import Row, SqlConnection
from kafka_saga.schemas.envelope import CommandHead


class CommandContext:
    """What a handler may know of its command beside the body: the third parameter, where it has one.

    Attributes:
        command: the command's head. What to undo is found by `command.parsed_id.saga_id` and `.step` (R15).
        now_ms: the time of this batch, milliseconds since 1970; it never goes backwards (R27).

    """

    __slots__ = ("command", "now_ms")

    def __init__(self, command: CommandHead, now_ms: int) -> None:
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


class Transaction(CommandContext):
    """One command's part of a batch's transaction: all it writes is kept if its handler returns, else nothing."""

    __slots__ = ("_connection", "_given")

    def __init__(self, connection: SqlConnection, command: CommandHead, now_ms: int) -> None:
        self._connection: SqlConnection | None = connection
        self._given: list[Any] = []  # finished ones are small, and a handler has two seconds to give them out in
        self.command = command
        self.now_ms = now_ms

    def execute(self, sql: str, params: Params = ()) -> Coroutine[Any, Any, int]:
        """Run one statement; the number of rows it changed.

        Args:
            sql: the statement, with `?` or `:name` for each parameter.
            params: their values, in a tuple, a list or a dict: what SQLite takes, and UUID, Decimal, date, time,
                datetime, Enum, Path and URLs as text (docs/participants.md).

        Raises:
            UsageError: the statement would end the transaction or reach beyond it (`runtime/confinement.py`), the
                handler has ended, or a parameter is of a type that is not taken.

        """
        connection = self._connection
        if connection is None:
            raise UsageError(_OVER)
        statement = connection.execute(sql, params)
        self._given.append(statement)
        return statement

    def fetch_one(self, sql: str, params: Params = ()) -> Coroutine[Any, Any, Row | None]:
        """Run one query (or a statement with RETURNING); its first row, or None. Else as `execute`."""
        connection = self._connection
        if connection is None:
            raise UsageError(_OVER)
        statement = _fetch_one(connection, sql, params)
        self._given.append(statement)
        return statement

    def fetch_all(self, sql: str, params: Params = ()) -> Coroutine[Any, Any, list[Row]]:
        """Run one query (or a statement with RETURNING); all its rows. Else as `execute`."""
        connection = self._connection
        if connection is None:
            raise UsageError(_OVER)
        statement = connection.fetch_all(sql, params)
        self._given.append(statement)
        return statement

    def close(self) -> int:
        """End the handler's access; how many of its statements were not run to their end, and now never will.

        Somebody forgot an `await`; and a task that was left behind must not write into its neighbours' work.
        """
        self._connection = None
        unfinished = 0
        for statement in self._given:
            if statement.cr_frame is not None:
                unfinished += 1
                statement.close()
        return unfinished


_OVER = "the transaction is over: a handler must await all its statements before it returns"


async def _fetch_one(connection: SqlConnection, sql: str, params: Params) -> Row | None:
    rows = await connection.fetch_all(sql, params)
    return rows[0] if rows else None
