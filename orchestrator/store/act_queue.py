"""Putting acts into the store from outside, beside the orchestrator that owns it (R25)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.orchestrator.store.act_rows import insert_row
from kafka_saga.orchestrator.store.port import QueuedAct
from kafka_saga.orchestrator.store.presence import check_store
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.sqlite import SqlConnection, open_beside, transaction


@dataclass(frozen=True, slots=True)
class ActQueue:
    """The one thing that anybody but the owner may write."""

    connection: SqlConnection

    @classmethod
    async def open(cls, path: Path) -> ActQueue:
        """Open the store at `path` for sending acts.

        Raises:
            StoreUnavailableError: there is none.

        """
        check_store(path)
        return cls(await open_beside(path))

    async def send(self, acts: Sequence[QueuedAct], now: int) -> int:
        """Put acts into the queue in one short transaction; how many were new. The same act id twice is one act."""
        async with transaction(self.connection):
            return await self.connection.execute_many(SQL["insert_act"], [insert_row(act, now) for act in acts])

    async def close(self) -> None:
        await self.connection.close()
