"""`SqlConnection` on PostgreSQL: the same calls, and statements with `?` or `:name`, as on SQLite.

What is PostgreSQL's own (`$1`, `RETURNING`, types) is passed on. Values of the standard library's classes go where the
column has their type; where it is text they are written as SQLite has them (`sql_values`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.sql_text import NOT_YOURS, check_statement, first_words, in_order, numbered
from kafka_saga.runtime.sql_values import Params, as_text, check_params
from kafka_saga.runtime.sqlite import BEGIN, Row

if TYPE_CHECKING:
    from asyncpg import Connection


def cleaned(value: Any) -> Any:
    """`value`, without what PostgreSQL's text cannot hold: U+0000 and lone surrogates (`22021` would fail for ever)."""
    if isinstance(value, str):
        if value.isascii():
            return value.replace("\0", "")
        return value.encode(errors="ignore").decode().replace("\0", "")
    if isinstance(value, list | tuple):
        return [cleaned(one) for one in value]
    return value


class PostgresSql:
    """`SqlConnection` over whatever connection is open now."""

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connection = connection
        self._transaction: Any = None
        self.is_confined = False
        """While users' code runs: its statements must leave the transaction alone."""

    async def execute(self, sql: str, params: Params = ()) -> int:
        text, values = self._prepared(sql, params)
        if sql is BEGIN:  # by the driver's own means: after another BEGIN it refuses a user's nested transaction
            self._transaction = self._connection().transaction()
            await self._transaction.start()
            return 0
        try:
            return _count(await self._connection().execute(text, *values))
        except asyncpg.DataError as error:
            return _count(await self._connection().execute(text, *_taken(values, error)))

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        values = [self._prepared(sql, row)[1] for row in rows]
        await self._connection().executemany(self._text(sql), values)
        return len(values)

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        text, values = self._prepared(sql, params)
        try:
            return [tuple(row) for row in await self._connection().fetch(text, *values)]
        except asyncpg.DataError as error:
            return [tuple(row) for row in await self._connection().fetch(text, *_taken(values, error))]

    async def run_script(self, sql: str) -> None:
        """Run several statements, without parameters; all of them, or none."""
        self._check_owner()
        if first_words(sql):  # the driver does not expect a text without a statement
            await self._connection().execute(sql)

    async def commit(self) -> None:
        self._check_owner()
        await self._transaction.commit()

    async def rollback(self) -> None:
        self._check_owner()
        await self._transaction.rollback()

    async def close(self) -> None:
        self._check_owner()
        await self._connection().close()

    def _prepared(self, sql: str, params: Params) -> tuple[str, Sequence[Any]]:
        check_params(params)
        text = self._text(sql)
        try:
            values = in_order(numbered(sql).names, params)
        except LookupError as error:
            raise UsageError(f"a parameter is missing: {error.args[0]}") from None
        return text, [cleaned(value) for value in values]

    def _text(self, sql: str) -> str:
        if self.is_confined:
            check_statement(sql)
        return numbered(sql).text

    def _check_owner(self) -> None:
        if self.is_confined:
            raise UsageError(NOT_YOURS)


_NOT_SENT = "invalid input for query argument"
"""What the driver says of a value that it cannot encode: the server has seen nothing of the statement yet."""


def _count(status: str) -> int:
    """How many rows a statement changed, by the server's word: `UPDATE 3`, `INSERT 0 1`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else -1


def _taken(values: Sequence[Any], error: asyncpg.DataError) -> list[Any]:
    """`values` as text where they have a class that SQLite would have as text; else the error stands."""
    if not str(error).startswith(_NOT_SENT):
        raise error
    converted = [as_text(value) for value in values]
    if all(new is old for new, old in zip(converted, values, strict=True)):
        raise UsageError(str(error)) from error
    return converted
