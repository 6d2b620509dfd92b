"""Users' SQL in a transaction of ours: what would end it, leave it or change our own tables is refused (R57).

SQLite itself tells what a statement would do, when it is prepared: no comment, blank or other word for COMMIT gets
past it, and a statement that ran before costs nothing more. What remains is what SQLite rolls back by itself
(`ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)`, no memory): it shows in a statement that fails, and from then on a
transaction that is never committed takes whatever may still come. Whose it was finds out that its savepoint is gone.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from kafka_saga.runtime.errors import UsageError

_CONTROL: Final = {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT}

_OUTSIDE: Final = {sqlite3.SQLITE_ATTACH: "ATTACH", sqlite3.SQLITE_DETACH: "DETACH"}

_TABLE_IN_FIRST: Final = {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_CREATE_TEMP_TABLE,  # it would hide ours
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_CREATE_TEMP_VIEW,
}
_TABLE_IN_SECOND: Final = {
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
    sqlite3.SQLITE_DROP_TRIGGER,
}

_PRAGMAS_ABOUT: Final = frozenset(
    {
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
"""They only tell something, whatever their argument."""

_PRAGMAS_READ: Final = frozenset(
    {"data_version", "database_list", "encoding", "foreign_keys", "page_size", "user_version"}
)
"""They only tell something while they have no argument; full text search asks two of them."""


class Confinement:
    """Watches one connection. Its owner sets `is_on` while users' code runs."""

    __slots__ = ("_connection", "_refusal", "_tables", "is_on")

    def __init__(self, connection: sqlite3.Connection, tables: frozenset[str]) -> None:
        """`tables` are those that users may read only. What was prepared before is prepared anew, and asked about."""
        self._connection = connection
        self._tables = tables
        self._refusal = ""
        self.is_on = False
        connection.set_authorizer(self._authorize)

    def check(self) -> None:
        """Refuse what is not SQL: `commit`, `close` and the like.

        Raises:
            UsageError: users' code runs.

        """
        if self.is_on:
            raise UsageError(_NOT_YOURS)

    def failed(self, error: Exception) -> None:
        """A statement failed: say so in our words, where it was refused, and see to what the failure rolled back.

        Raises:
            UsageError: it was refused.

        """
        if not self.is_on:
            return
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH:
            raise UsageError(self._refusal or _NOT_YOURS) from error
        if not self._connection.in_transaction:
            self.is_on = False
            self._connection.execute("BEGIN")  # whoever catches the error and writes on, writes into this one
            self.is_on = True

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _inside: str | None
    ) -> int:
        if not self.is_on:
            return sqlite3.SQLITE_OK
        refusal = self._complaint(action, first, second)
        if refusal is None:
            return sqlite3.SQLITE_OK
        self._refusal = refusal
        return sqlite3.SQLITE_DENY

    def _complaint(self, action: int, first: str | None, second: str | None) -> str | None:
        if action in _CONTROL:
            return _NOT_YOURS
        if action in _OUTSIDE:
            return f"{_OUTSIDE[action]} is not for handlers: all that they write must be in one transaction"
        if action == sqlite3.SQLITE_PRAGMA:
            name = (first or "").lower()
            if name in _PRAGMAS_ABOUT or (second is None and name in _PRAGMAS_READ):
                return None
            return f"PRAGMA {name} is not for handlers: it would hold for all of them"
        table = first if action in _TABLE_IN_FIRST else second if action in _TABLE_IN_SECOND else None
        if table is not None and table.lower() in self._tables:
            return f"the table {table} is the guard's: handlers may read it, and no more"
        return None


_NOT_YOURS: Final = "the transaction belongs to the guard: raise Rejected, or any other exception, to undo it"
