"""The connection that a handler is given: asyncpg's, without what would end or outlive its command (R79)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.postgres_sql import cleaned
from kafka_saga.runtime.sql_text import NOT_YOURS, OTHERS_TOO, check_statement

if TYPE_CHECKING:
    from asyncpg import Connection

_REFUSED = frozenset(
    {
        "add_listener",
        "add_log_listener",
        "add_query_logger",
        "add_termination_listener",
        "close",
        "remove_listener",
        "reset",
        "reset_query",
        "terminate",
        "query_logger",
    }
)

_LASTING = frozenset({"reset_type_codec", "set_builtin_type_codec", "set_type_codec"})
"""The guard's own rows would be read so, too."""

_WITH_PARAMETERS = frozenset({"execute", "fetch", "fetchrow", "fetchval", "cursor", "copy_from_query"})
_WITH_ROWS = frozenset({"executemany", "fetchmany"})
_WITH_TEXT = frozenset({"prepare"})


class GivenConnection:
    """Behaves as the `asyncpg.Connection` behind it, for the time of one command."""

    def __init__(self, connection: Connection) -> None:
        self._saga_connection: Connection | None = connection

    def __getattr__(self, name: str) -> Any:
        connection = self._saga_connection
        if connection is None:
            raise UsageError("the transaction is over: a handler must await all its statements before it returns")
        if name in _REFUSED:
            raise UsageError(f"connection.{name}: {NOT_YOURS}")
        if name in _LASTING:
            raise UsageError(f"connection.{name}: {OTHERS_TOO}: convert the values themselves")
        found = getattr(connection, name)
        if name in _WITH_PARAMETERS:
            return lambda query, *args, **options: found(_checked(query), *map(cleaned, args), **options)
        if name in _WITH_ROWS:
            return lambda query, args, **options: found(_checked(query), _cleaned_rows(args), **options)
        if name in _WITH_TEXT:
            return lambda query, *args, **options: found(_checked(query), *args, **options)
        return found

    def __repr__(self) -> str:
        return f"GivenConnection({self._saga_connection!r})"


def end_access(given: GivenConnection) -> None:
    """The command has ended: what is called on `given` from now on is refused."""
    given._saga_connection = None  # noqa: SLF001 -- no name of ours may hide one of the connection's


def _checked(query: str) -> str:
    check_statement(query)
    return query


def _cleaned_rows(rows: Iterable[Any]) -> Any:
    return ([cleaned(value) for value in row] for row in rows)
