"""Purging in SQL: small transactions, each of so many rows along the primary key."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.act_rows import PURGE, noted_row
from kafka_saga.orchestrator.store.port import NO_SAGA, NotedAct
from kafka_saga.orchestrator.store.retention import Asker, Purge, Purged, PurgeStep, QueuedPurge, digest
from kafka_saga.orchestrator.store.tables import Tables
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.sqlite import Row
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.ids import SagaRef


async def purge(tables: Tables, queued: QueuedPurge, rows_max: int, now: int) -> PurgeStep:
    """One step of `queued`, in one transaction; where an operator asked for it, its progress is noted there.

    While another process is at it nothing is done, and it goes on from where it was (R75).
    """
    async with tables.transaction():
        if not await _is_our_turn(tables):
            return PurgeStep(0, queued.from_key)
        from_key = queued.from_key
        if queued.purge_id:
            noted = await tables.fetch_all("purge_from", (queued.purge_id,))
            if not noted:
                return PurgeStep(0, None)
            from_key = max(from_key, noted[0][0])
        step = await _step(tables, queued.wanted, from_key, rows_max, now)
        if queued.purge_id:
            ended_at = now if step.next_key is None else None
            await tables.execute("note_purge", (step.purged, step.next_key or 0, ended_at, queued.purge_id))
            if ended_at is not None:
                [(purged, _)] = await tables.fetch_all("purge", (queued.purge_id,))
                told = f"{counted(purged, 'saga')} purged: {_which(queued.wanted)}"
                await tables.execute("tell_act", (told, queued.purge_id))
    return step


async def _is_our_turn(tables: Tables) -> bool:
    [(is_ours,)] = await tables.fetch_all("upkeep_turn")
    return bool(is_ours)


async def _step(tables: Tables, wanted: Purge, from_key: int, rows_max: int, now: int) -> PurgeStep:
    rows = await tables.fetch_all("purge_candidates", (from_key, rows_max))
    # None after the first that is younger than the slack ended before it.
    old = [row for row in rows if row[5] < wanted.ended_before + tables.slack_ms]
    gone = [row for row in old if wanted.covers(SagaRef(row[1], row[2]), SagaState(row[3]), row[6])]
    purged = await _take(tables, gone, now) if gone else 0
    return PurgeStep(purged, old[-1][0] + 1 if len(old) == rows_max else None)


async def _take(tables: Tables, old: list[Row], now: int) -> int:
    """Keep the identities of these sagas, and nothing else; how many of them went."""
    wanted = encode([row[0] for row in old]).decode()
    taken = {key for (key,) in await tables.fetch_all("purge_sagas", (wanted,))}
    kept = [(digest(row[2]), *row[1:], now) for row in old if row[0] in taken]
    await tables.execute_many("insert_purged", kept)
    await tables.execute("purge_log", (encode(sorted(taken)).decode(),))
    return len(kept)


async def load(tables: Tables, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
    """Those of `refs` that were purged."""
    wanted = set(refs)
    digests = encode([digest(ref.saga_id) for ref in wanted]).decode()
    found = map(read_purged, await tables.fetch_all("load_purged", (digests,)))
    return {purged.ref: purged for purged in found if purged.ref in wanted}


def read_purged(row: Row) -> Purged:
    """From the columns of the statement `load_purged`."""
    saga_type, saga_id, state, request_hash, created_at, ended_at, purged_at = row
    return Purged(SagaRef(saga_type, saga_id), SagaState(state), request_hash, created_at, ended_at, purged_at)


async def queue(tables: Tables, queued: QueuedPurge, asker: Asker, now: int) -> None:
    """Ask for a purge, and keep that among the acts; whoever owns the store carries it out."""
    wanted, states = queued.wanted, sorted(queued.wanted.states)
    row = (queued.purge_id, wanted.ended_before, wanted.saga_type, encode(states).decode(), asker.actor, now)
    scope = "finished sagas" if wanted.saga_type is None else f"finished sagas of type {wanted.saga_type}"
    arguments = {
        "scope": scope,
        "type": wanted.saga_type,
        "states": states,
        "endedBefore": rfc3339(wanted.ended_before),
    }
    act = NotedAct(queued.purge_id, NO_SAGA, PURGE, *asker, f"it is going on: {_which(wanted)}", arguments)
    async with tables.transaction():
        await tables.execute("insert_purge", row)
        await tables.note_act(noted_row(act, now))


def _which(wanted: Purge) -> str:
    return f"{' and '.join(sorted(wanted.states))} before {rfc3339(wanted.ended_before)}"


async def waiting(tables: Tables) -> list[QueuedPurge]:
    """The purges that are not done, oldest first."""
    return [
        QueuedPurge(
            purge_id, Purge(before, saga_type, frozenset(SagaState(name) for name in decode_trusted(states))), from_key
        )
        for purge_id, before, saga_type, states, from_key in await tables.fetch_all("waiting_purges")
    ]


async def forget_purged(tables: Tables, before: int, rows_max: int) -> int:
    """Delete the oldest rows of `purged`; how many."""
    async with tables.transaction():
        return await tables.execute("forget_purged", (before, rows_max)) if await _is_our_turn(tables) else 0


async def forget_acts(tables: Tables, before: int, from_key: int, rows_max: int) -> PurgeStep:
    """Look at so many acts, and delete what is old and whose saga is gone."""
    async with tables.transaction():
        if not await _is_our_turn(tables):
            return PurgeStep(0, from_key)
        rows = await tables.fetch_all("old_acts", (from_key, rows_max))
        gone = [
            seq for seq, decided_at, is_there in rows if decided_at is not None and decided_at < before and not is_there
        ]
        if gone:
            await tables.execute("delete_acts", (encode(gone).decode(),))
    return PurgeStep(len(gone), rows[-1][0] + 1 if len(rows) == rows_max else None)
