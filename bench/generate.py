"""`python -m bench.generate DIRECTORY COUNT`: fills stopped databases with finished sagas, as many as wanted.

Nothing is invented: one saga that really ran is the template. Its rows are copied, table by table, in the
orchestrator's store and in each participant's database, under new ids of the same length and with the request's
hash computed anew, so that the stores are what COUNT such runs would have left, at the cost of a bulk insert. Ids
come in random order, as in a run. Stock and balances are not reduced.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.orders import order_id
from kafka_saga.schemas.codec import encode_sorted

ORCHESTRATOR = "orchestrator"
SERVICES = ("inventory", "payment", "orders")
_ROWS_AT_ONCE = 20_000
_SAGA_KEY = "saga_key"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    is_row_number: bool
    """The table's INTEGER PRIMARY KEY: it goes on from the newest row's."""


@dataclass(frozen=True, slots=True)
class Template:
    """The rows that one saga has in one table."""

    table: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    next_number: int

    @classmethod
    def of(cls, connection: sqlite3.Connection, table: str, where: str, value: Any) -> Template:
        info = connection.execute(f"PRAGMA table_info({table})").fetchall()
        keys = [name for _, name, kind, _, _, key in info if key and kind == "INTEGER"]
        keyed_alone = sum(bool(column[5]) for column in info) == 1
        columns = tuple(Column(name, keyed_alone and name in keys) for _, name, *_ in info)
        rows = tuple(connection.execute(f"SELECT * FROM {table} WHERE {where} = ?", (value,)))
        number = next((column.name for column in columns if column.is_row_number), None)
        [(newest,)] = connection.execute(f"SELECT max({number}) FROM {table}") if number else [(0,)]
        return cls(table, columns, rows, (newest or 0) + 1)

    def copies(self, old: str, news: list[str], *, first: int, next_key: int) -> Iterator[tuple[Any, ...]]:
        """The rows of sagas `news`, the first of which is number `first` of all that are made.

        `next_key` is the key of the first of all in the orchestrator's store.
        """
        for place, new in enumerate(news, start=first):
            for offset, row in enumerate(self.rows):
                number = self.next_number + place * len(self.rows) + offset
                yield tuple(
                    next_key + place
                    if column.name == _SAGA_KEY
                    else number
                    if column.is_row_number
                    else renamed(value, old, new)
                    for column, value in zip(self.columns, row, strict=True)
                )


def renamed(value: Any, old: str, new: str) -> Any:
    """A column's value with the saga's id exchanged; text and binary forms alike, since both ids are as long."""
    assert len(old) == len(new)
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, bytes):
        return value.replace(old.encode(), new.encode())
    return value


def fill(directory: Path, count: int, run: str = "made") -> None:
    """Copy the newest COMPLETED saga of the databases in `directory` `count` times.

    Args:
        directory: with the databases of an orchestrator and of participants that have ended.
        count: how many sagas are added.
        run: begins their ids; it is made as long as the template's id needs.

    """
    with closing(sqlite3.connect(directory / f"{ORCHESTRATOR}.db")) as connection:
        found = connection.execute(
            "SELECT saga_id FROM sagas WHERE state = 'COMPLETED' ORDER BY saga_key DESC LIMIT 1"
        ).fetchone()
    if found is None:
        raise ValueError(f"there is no finished saga in {directory} to take as a template")
    [template] = found
    prefix = run.ljust(len(template) - len(order_id("", 0)), "x")
    if len(order_id(prefix, 0)) != len(template):
        raise ValueError(f"the template's id, {template}, is too short for ids that begin with '{run}-'")
    for name in (ORCHESTRATOR, *SERVICES):
        _fill_database(directory / f"{name}.db", template, prefix, count)


def _fill_database(path: Path, template: str, prefix: str, count: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        # What is written here is worth nothing after a power cut; the last checkpoint writes it all.
        connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;")
        templates = list(_templates(connection, template))
        next_key = next((one.next_number for one in templates if one.table == "sagas"), 0)
        for first in range(0, count, _ROWS_AT_ONCE):
            news = [order_id(prefix, number) for number in range(first, min(count, first + _ROWS_AT_ONCE))]
            with connection:
                for one in templates:
                    rows = one.copies(template, news, first=first, next_key=next_key)
                    marks = ", ".join("?" * len(one.columns))
                    connection.executemany(f"INSERT INTO {one.table} VALUES ({marks})", _hashed(one, rows))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _templates(connection: sqlite3.Connection, saga_id: str) -> Iterator[Template]:
    """Of every table that has rows of the saga, by its id or by its key in the store."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    keys: list[int] = []
    if "sagas" in tables:
        keys = [key for (key,) in connection.execute("SELECT saga_key FROM sagas WHERE saga_id = ?", (saga_id,))]
    for table in tables:
        names = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        if "saga_id" in names:
            found = Template.of(connection, table, "saga_id", saga_id)
        elif _SAGA_KEY in names and keys:
            found = Template.of(connection, table, _SAGA_KEY, keys[0])
        else:
            continue
        if found.rows:
            yield found


def _hashed(template: Template, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Sagas keep their request's hash (R3)."""
    names = [column.name for column in template.columns]
    if "request_hash" not in names:
        yield from rows
        return
    hash_at, data_at = names.index("request_hash"), names.index("data")
    for row in rows:
        request_hash = hashlib.sha256(encode_sorted(json.loads(row[data_at]))).digest()
        yield (*row[:hash_at], request_hash, *row[hash_at + 1 :])


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit(f"usage: python -m bench.generate DIRECTORY COUNT\n\n{__doc__}")
    try:
        fill(Path(sys.argv[1]), int(sys.argv[2]))
    except (ValueError, sqlite3.Error) as error:
        sys.exit(f"bench.generate: {error}")
