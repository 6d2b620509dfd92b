"""A service's database that is restored together with the orchestrator's: its old commands are not read again (R59)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.store.sqlite import SqliteStore, open_store
from kafka_saga.runtime.sqlite import transaction

_SET = """
INSERT INTO offsets (topic, partition, next, updated_at) VALUES (?, ?, ?, ?)
ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next, updated_at = excluded.updated_at
"""


async def move_to(store: SqliteStore, positions: Mapping[TopicPartition, int], now_ms: int) -> None:
    """Set where the commands are read on, whatever the store has."""
    async with transaction(store.connection):
        await store.connection.execute_many(
            _SET, [(*partition, offset, now_ms) for partition, offset in positions.items()]
        )


async def read_on(path: Path, positions: Mapping[TopicPartition, int], now_ms: int) -> None:
    """Have the database at `path` read its commands from `positions` on.

    Raises:
        StoreRefusedError: it is no participant's.

    """
    store = await open_store(path)
    try:
        await move_to(store, positions, now_ms)
    finally:
        await store.close()
