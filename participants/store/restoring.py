"""A service's database that was restored from a backup: what it must know of what it has told since (R59).

Restored together with the orchestrator's it reads none of its old commands again. Restored alone it handles them again,
which is what restores it; but what it has refused it must not do now, since its saga was undone without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.outcomes import failed
from kafka_saga.participants.store.sqlite import SqliteStore, open_store
from kafka_saga.runtime.sqlite import transaction
from kafka_saga.schemas.envelope import Reason
from kafka_saga.schemas.ids import CommandId

_SET = """
INSERT INTO saga_offsets (topic, partition, next, updated_at) VALUES (?, ?, ?, ?)
ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next, updated_at = excluded.updated_at
"""

_REFUSED = """
INSERT INTO saga_fence (saga_type, saga_id, step, status, action_epoch, compensation_epoch,
                   action_reply, compensation_reply, call, started_at, updated_at)
VALUES (?, ?, ?, 'failed', ?, 0, ?, NULL, NULL, ?, ?)
ON CONFLICT (saga_id, step, saga_type) DO UPDATE SET
    action_epoch = excluded.action_epoch, action_reply = excluded.action_reply, updated_at = excluded.updated_at
    WHERE saga_fence.status = 'failed' AND saga_fence.action_epoch < excluded.action_epoch
"""


ToldSince = Callable[[int], Awaitable[Iterable[tuple[CommandId, str]]]]
"""The actions that were answered with a refusal since a moment (milliseconds), each with its reason."""


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


async def keep_refusals(path: Path, told_since: ToldSince, now_ms: int) -> None:
    """Have the database at `path` refuse again what was refused since it was copied, without asking a handler.

    What it knows of a step already stays, but for a refusal of an earlier epoch.

    Raises:
        StoreRefusedError: it is no participant's.

    """
    store = await open_store(path)
    try:
        rows = [_row(command, error, now_ms) for command, error in await told_since(await store.newest_ms())]
        async with transaction(store.connection):
            await store.connection.execute_many(_REFUSED, rows)
    finally:
        await store.close()


def _row(command: CommandId, error: str, now_ms: int) -> tuple[str | int, ...]:
    reply = failed(Reason.REJECTED, error).to_json()
    return (command.saga_type, command.saga_id, command.step, command.epoch, reply, now_ms, now_ms)
