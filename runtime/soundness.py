"""Is a database what SQLite wrote? Asked before anything is built on it, and by operators (docs/decisions/0011)."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.runtime.errors import BrokenStoreError
from kafka_saga.runtime.limits import CHECKED_BYTES_MAX
from kafka_saga.runtime.sqlite import SqlConnection, damaged
from kafka_saga.runtime.telemetry import log

_log = log("store")


async def check_at_start(connection: SqlConnection, path: Path, *, after_crash: bool) -> None:
    """Refuse a damaged database.

    Args:
        connection: to the database.
        path: its file, for its size and for messages.
        after_crash: the last owner was killed, or the machine stopped, so even a large file is checked.

    Raises:
        BrokenStoreError: a page of it is not what SQLite wrote.

    """
    size = path.stat().st_size  # noqa: ASYNC240 -- one stat of a local file
    if size > CHECKED_BYTES_MAX:
        if not after_crash:
            return
        _log.warning("store.checking", store=str(path), megabytes=size >> 20, reason="its last owner was killed")
    problems = await _ask(connection, "PRAGMA quick_check(1)")
    if problems:
        raise BrokenStoreError(damaged(path, problems[0]))


async def find_damage(connection: SqlConnection) -> list[str]:
    """Up to ten things that are wrong, indexes that do not match their tables included. Reads the whole file.

    Raises:
        BrokenStoreError: it is so damaged that SQLite cannot even look.

    """
    return await _ask(connection, "PRAGMA integrity_check(10)")


async def _ask(connection: SqlConnection, pragma: str) -> list[str]:
    found = [" ".join(str(text).split()) for (text,) in await connection.fetch_all(pragma)]
    return [] if found == ["ok"] else found
