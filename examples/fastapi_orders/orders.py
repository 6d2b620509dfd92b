"""The orders that were placed, in a table of the service's own: what was asked for, and how it is answered now."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER, body TEXT);
CREATE TABLE IF NOT EXISTS read_to (one INTEGER PRIMARY KEY CHECK (one = 1), position TEXT NOT NULL);
"""


class Answer(NamedTuple):
    """What a customer is told: an HTTP status, and the body."""

    status: int
    body: dict[str, Any]


class Orders:
    """One SQLite file; a call takes less than a millisecond. Where orders have a database already, use that."""

    def __init__(self, path: Path | str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_TABLES}")

    def place(self, order_id: str, request: str) -> bool:
        """Note an order before its saga is asked for; False where another one has this id."""
        self._database.execute("INSERT OR IGNORE INTO orders (order_id, request) VALUES (?, ?)", (order_id, request))
        [known] = self._database.execute("SELECT request FROM orders WHERE order_id = ?", (order_id,)).fetchone()
        return bool(known == request)

    def settle(self, order_id: str, answer: Answer) -> None:
        """Note how an order ended; nothing where it is none of ours."""
        row = (answer.status, json.dumps(answer.body), order_id)
        self._database.execute("UPDATE orders SET status = ?, body = ? WHERE order_id = ?", row)

    def answer(self, order_id: str) -> Answer | None:
        """How an order stands; None where none of that id was placed."""
        row = self._database.execute("SELECT status, body FROM orders WHERE order_id = ?", (order_id,)).fetchone()
        if row is None:
            return None
        return pending(order_id) if row[0] is None else Answer(row[0], json.loads(row[1]))

    @property
    def position(self) -> str | None:
        """How far events were read, where they were."""
        row = self._database.execute("SELECT position FROM read_to").fetchone()
        return None if row is None else str(row[0])

    @position.setter
    def position(self, read_to: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO read_to VALUES (1, ?)", (read_to,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def pending(order_id: str) -> Answer:
    """It goes on."""
    return Answer(202, {"order_id": order_id, "status": "pending", "see": f"/orders/{order_id}"})
