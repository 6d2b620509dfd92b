"""Named SQL statements: SQLite's in `statements.sql` here, PostgreSQL's in the folder `postgres`."""

from __future__ import annotations

import re
from importlib import resources

LISTS = ("list_newest", "list_unfinished")
"""Statements that have a twin `count_…`, which counts what they list."""


def read_statements(package: str, file: str = "statements.sql") -> dict[str, str]:
    """The statements of a file in `package`, by name."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], (sql.strip() for sql in parts[2::2]), strict=True))
    return found | {f"count_{name}": _counting(found[name]) for name in LISTS if name in found}


def _counting(sql: str) -> str:
    return f"SELECT count(*) FROM ({sql.rstrip(';')}) listed"  # noqa: S608 -- statements of ours


SQL = read_statements("kafka_saga.orchestrator.store")
