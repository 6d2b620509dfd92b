"""Whose a file is, found out before anything is written to it: ours, another program's, or no database at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.runtime.errors import BrokenStoreError, StoreRefusedError
from kafka_saga.runtime.migrations import GUEST_PREFIX, GUEST_SCHEMA_TABLE, SCHEMA_TABLE
from kafka_saga.runtime.sqlite import BUSY_TIMEOUT_MS, address, copy_address, translated_errors

_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database is.

    Attributes:
        tables: what is in it; of ours, the one that counts migrations is left out.
        first_migration: the file that began its schema, where a program of ours did.
        schema: the version of that schema; 0 where it was never begun.
        prefix: before the names of our tables, as they were told apart from a service's own.

    """

    tables: frozenset[str]
    first_migration: str | None = None
    schema: int = 0
    prefix: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nobody has made anything of it yet."""
        return not self.tables

    def table(self, name: str) -> str | None:
        """What our table `name` (`offsets`, `meta`) is called in it; None where it has none."""
        full = f"{self.prefix}{name}"
        return full if self.first_migration is not None and full in self.tables else None


def identify(path: Path, *, is_copy: bool = False) -> Identity | None:
    """Whose the database at `path` is, without changing it; None where there is none.

    Args:
        path: the file.
        is_copy: nobody has it open, and it has no log, as a backup: it can be read where nothing can be written.

    Raises:
        StoreRefusedError: it is a folder, a pipe or a device.
        StoreUnavailableError: it cannot be opened.
        BrokenStoreError: it is no database, or one that is damaged.

    """
    with translated_errors(path):
        if not path.exists():
            return None
        if not path.is_file():  # to open a pipe would wait for somebody to write to it
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise StoreRefusedError(f"{path} is {what}, not a database: name another")
        if path.stat().st_size == 0:
            return Identity(frozenset())
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise BrokenStoreError(
                    f"{path} is no SQLite database, or its first page is damaged: "
                    "name another file, or restore it from a backup"
                )
        with closing(sqlite3.connect(copy_address(path) if is_copy else address(path, "ro"), uri=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            return _look(connection)


def _look(connection: sqlite3.Connection) -> Identity:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for counts, prefix in ((GUEST_SCHEMA_TABLE, GUEST_PREFIX), (SCHEMA_TABLE, "")):
        columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (counts,))}
        if columns != {"version", "name"}:
            continue
        migrations = dict(connection.execute(f"SELECT version, name FROM {counts}"))  # noqa: S608
        tables.discard(counts)  # a first start that was killed got this far
        if 1 in migrations:
            return Identity(frozenset(tables), str(migrations[1]), max(migrations), prefix)
    return Identity(frozenset(tables))
