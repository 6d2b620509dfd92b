"""Named SQL statements: SQLite's in `statements.sql` here, PostgreSQL's in the folder `postgres`."""

from __future__ import annotations

import re
from importlib import resources


def read_statements(package: str, file: str = "statements.sql") -> dict[str, str]:
    """The statements of a file in `package`, by name."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (sql.strip() for sql in parts[2::2]), strict=True))


SQL = read_statements("kafka_saga.orchestrator.store")
