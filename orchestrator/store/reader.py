"""Reading a store beside the orchestrator that owns it: read-only, one short statement at a time (R24)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.machine.decision import LogEntry
from orchestrator.machine.saga import Saga
from orchestrator.store import rows
from orchestrator.store.statements import SQL
from runtime.errors import NotFoundError, StoreUnavailableError
from runtime.sqlite import SqlConnection, open_reader


@dataclass(frozen=True, slots=True)
class StoreReader:
    """What operators may read."""

    connection: SqlConnection

    @classmethod
    async def open(cls, path: Path) -> StoreReader:
        """Open the store at `path` for reading.

        Raises:
            StoreUnavailableError: there is none.

        """
        if not path.exists():  # noqa: ASYNC240 -- one stat of a local file
            raise StoreUnavailableError(
                f"there is no store at {path}: start `saga orchestrator` first, or name another with --store"
            )
        return cls(await open_reader(path))

    async def close(self) -> None:
        await self.connection.close()

    async def find(self, saga_id: str, saga_type: str | None = None) -> Saga:
        """The saga of that id.

        Raises:
            NotFoundError: there is none, or several types have one.

        """
        found = await self.connection.fetch_all(SQL["find"], (saga_id, saga_type, saga_type))
        if not found:
            raise NotFoundError(f"there is no saga '{saga_id}'" + (f" of type '{saga_type}'" if saga_type else ""))
        if len(found) > 1:
            types = ", ".join(row[1] for row in found)
            raise NotFoundError(f"several sagas have the id '{saga_id}': say which with --type ({types})")
        return rows.read_saga(found[0])

    async def log(self, saga: Saga) -> list[LogEntry]:
        """The saga's step log, oldest first."""
        return [rows.read_log(row) for row in await self.connection.fetch_all(SQL["log"], (saga.row,))]
