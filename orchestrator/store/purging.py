"""Purging in SQL: small transactions, each of so many rows along the primary key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.retention import Purge, Purged, PurgeStep, QueuedPurge, digest
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.sqlite import SqlConnection, transaction
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.ids import SagaRef


async def purge(connection: SqlConnection, queued: QueuedPurge, rows_max: int, now: int) -> PurgeStep:
    """One step of `queued`, in one transaction; where an operator asked for it, its progress is noted there."""
    wanted = queued.wanted
    async with transaction(connection):
        rows = await connection.fetch_all(SQL["purge_candidates"], (queued.from_key, rows_max))
        old = [row for row in rows if row[5] < wanted.ended_before]  # none after the first young one ended before it
        gone = [row for row in old if wanted.covers(SagaRef(row[1], row[2]), SagaState(row[3]), row[6])]
        if gone:
            await _write(connection, gone, now)
        following = old[-1][0] + 1 if len(old) == rows_max else None
        if queued.purge_id:
            note = (len(gone), following or 0, now if following is None else None, queued.purge_id)
            await connection.execute(SQL["note_purge"], note)
    return PurgeStep(len(gone), following)


async def _write(connection: SqlConnection, gone: list[tuple[Any, ...]], now: int) -> None:
    """Keep the identities of these sagas, and nothing else."""
    kept = [(digest(row[2]), *row[1:], now) for row in gone]
    keys = encode([row[0] for row in gone]).decode()
    await connection.execute_many(SQL["insert_purged"], kept)
    await connection.execute(SQL["purge_log"], (keys,))
    if await connection.execute(SQL["purge_sagas"], (keys,)) != len(gone):
        raise ConflictError("a saga changed while it was being purged")


async def load(connection: SqlConnection, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
    """Those of `refs` that were purged."""
    wanted = set(refs)
    digests = encode([digest(ref.saga_id) for ref in wanted]).decode()
    found = map(read_purged, await connection.fetch_all(SQL["load_purged"], (digests,)))
    return {purged.ref: purged for purged in found if purged.ref in wanted}


def read_purged(row: tuple[Any, ...]) -> Purged:
    """From the columns of the statement `load_purged`."""
    saga_type, saga_id, state, request_hash, created_at, ended_at, purged_at = row
    return Purged(SagaRef(saga_type, saga_id), SagaState(state), request_hash, created_at, ended_at, purged_at)


async def queue(connection: SqlConnection, queued: QueuedPurge, actor: str, now: int) -> None:
    """Ask for a purge; whoever owns the store carries it out."""
    wanted = queued.wanted
    row = (queued.purge_id, wanted.ended_before, wanted.saga_type, encode(sorted(wanted.states)).decode(), actor, now)
    async with transaction(connection):
        await connection.execute(SQL["insert_purge"], row)


async def waiting(connection: SqlConnection) -> list[QueuedPurge]:
    """The purges that are not done, oldest first."""
    return [
        QueuedPurge(
            purge_id, Purge(before, saga_type, frozenset(SagaState(name) for name in decode_trusted(states))), from_key
        )
        for purge_id, before, saga_type, states, from_key in await connection.fetch_all(SQL["waiting_purges"])
    ]


async def forget_purged(connection: SqlConnection, before: int, rows_max: int) -> int:
    """Delete the oldest rows of `purged`; how many."""
    async with transaction(connection):
        return await connection.execute(SQL["forget_purged"], (before, rows_max))


async def forget_acts(connection: SqlConnection, before: int, from_key: int, rows_max: int) -> PurgeStep:
    """Look at so many acts, and delete what is old and whose saga is gone."""
    async with transaction(connection):
        rows = await connection.fetch_all(SQL["old_acts"], (from_key, rows_max))
        gone = [
            seq for seq, decided_at, is_there in rows if decided_at is not None and decided_at < before and not is_there
        ]
        if gone:
            await connection.execute(SQL["delete_acts"], (encode(gone).decode(),))
    return PurgeStep(len(gone), rows[-1][0] + 1 if len(rows) == rows_max else None)
