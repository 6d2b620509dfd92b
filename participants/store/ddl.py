"""The guard's tables as SQL, for teams whose migrations are another tool's."""

from __future__ import annotations

from importlib import resources
from typing import Literal

from kafka_saga.runtime.migrations import GUEST_SCHEMA_TABLE

_PLACES = {"postgresql": "postgres_migrations", "sqlite": "migrations"}


def ddl(database: Literal["postgresql", "sqlite"]) -> str:
    """What makes the guard's tables, and notes that they are made: a worker then needs no right to make any.

    On PostgreSQL they come into the schema that the `search_path` begins with.
    """
    package = f"kafka_saga.participants.store.{_PLACES[database]}"
    files = sorted(file.name for file in resources.files(package).iterdir() if file.name.endswith(".sql"))
    parts = [_COUNTS[database]]
    for name in files:
        text = resources.files(package).joinpath(name).read_text(encoding="utf-8").replace("{schema}.", "")
        parts += [text.rstrip(), _note(database, int(name[:4]), name, text)]
    return "\n\n".join(parts) + "\n"


_COUNTS = {
    "postgresql": (
        f"CREATE TABLE {GUEST_SCHEMA_TABLE} (number int PRIMARY KEY, name text NOT NULL, compatible_from int NOT NULL);"
    ),
    "sqlite": f"CREATE TABLE {GUEST_SCHEMA_TABLE} (version INTEGER PRIMARY KEY, name TEXT);",
}


def _note(database: str, number: int, name: str, text: str) -> str:
    values = f"{number}, '{name}'"
    if database == "postgresql":
        values += f", {text.partition('compatible_from: ')[2].partition(chr(10))[0]}"
    return f"INSERT INTO {GUEST_SCHEMA_TABLE} VALUES ({values});"  # noqa: S608 -- names of files
