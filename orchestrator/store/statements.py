"""The named SQL statements of `statements.sql`."""

from __future__ import annotations

import re
from importlib import resources


def _read() -> dict[str, str]:
    text = resources.files(__package__).joinpath("statements.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (sql.strip() for sql in parts[2::2]), strict=True))


SQL = _read()
