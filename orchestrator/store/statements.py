"""Named SQL statements: SQLite's in `statements.sql` here, PostgreSQL's in the folder `postgres`."""

from __future__ import annotations

import re
from importlib import resources

LISTS = ("list_newest", "list_unfinished")
"""Statements that have a twin `count_…`, which counts what they list."""


def read_statements(package: str, file: str = "statements.sql") -> dict[str, str]:
    """The statements of a file in `package`, by name. What several say is a part before them: `{its_name}` there."""
    file_text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    pieces = re.split(r"^-- (name|part): (\w+)\n", file_text, flags=re.MULTILINE)
    found: dict[str, str] = {}
    parts: dict[str, str] = {}
    for kind, name, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        sql = text.strip()
        for part, meant in parts.items():
            sql = sql.replace(f"{{{part}}}", meant)
        (found if kind == "name" else parts)[name] = sql
    return found | {f"count_{name}": _counting(found[name]) for name in LISTS if name in found}


def _counting(sql: str) -> str:
    return f"SELECT count(*) FROM ({sql.rstrip(';')}) listed"  # noqa: S608 -- statements of ours


SQL = read_statements("kafka_saga.orchestrator.store")
