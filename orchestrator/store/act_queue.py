"""Putting acts into the store from outside, beside the orchestrator that owns it (R25)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_saga.orchestrator.store.act_rows import insert_row, noted_row
from kafka_saga.orchestrator.store.beside import open_to_write
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.port import NotedAct, QueuedAct
from kafka_saga.orchestrator.store.tables import Tables


@dataclass(frozen=True, slots=True)
class ActQueue:
    """The one thing that anybody but the owner may write."""

    tables: Tables

    @classmethod
    async def open(cls, at: StoreLocation) -> ActQueue:
        """Open the store at `at` for sending acts.

        Raises:
            StoreUnavailableError: there is none, or its server does not answer.

        """
        return cls(await open_to_write(at))

    async def send(self, acts: Sequence[QueuedAct], now: int) -> int:
        """Put acts into the queue in one short transaction; how many were new. The same act id twice is one act."""
        return await self.tables.queue_acts([insert_row(act, now) for act in acts])

    async def note(self, act: NotedAct, now: int) -> None:
        """Keep an act that is done already: nobody has to take it."""
        async with self.tables.transaction():
            await self.tables.note_act(noted_row(act, now))

    async def close(self) -> None:
        await self.tables.close()
