"""The mark of a store that was moved elsewhere: the file is used no more, or two would go on with the same sagas."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.sqlite import SqlConnection, transaction

MOVED_TO = "moved_to"
"""In `meta`: where the store is now."""


async def mark_moved(connection: SqlConnection, where: str) -> None:
    """Note in the file that its store is at `where` from now on."""
    async with transaction(connection):
        await connection.execute(SQL["note"], (MOVED_TO, where))


def check_here(path: Path, where: str | None) -> None:
    """Refuse a file whose store was moved to `where`.

    Raises:
        StoreRefusedError: it was.

    """
    if where is not None:
        raise StoreRefusedError(f"{path} was moved to {where}: start with SAGA_STORE (or --store) set to that")
