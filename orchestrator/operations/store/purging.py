"""Purging finished sagas on an operator's word: by whoever owns the store, or by us where nobody does.

The wish is a row of the store either way, so it is in the record, and whoever owns the store next finishes it. On
PostgreSQL we and the replicas do it together, a step each in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kafka_saga.orchestrator.store import purging
from kafka_saga.orchestrator.store.beside import open_to_write
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import Asker, PurgeStep, QueuedPurge
from kafka_saga.orchestrator.store.sqlite import SqliteStore, open_store
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.limits import PURGE_ROWS_MAX
from kafka_saga.runtime.store_lock import StoreLock

POLL_MS = 200

OnProgress = Callable[[int], None]
"""Told how many sagas are purged so far."""


async def purge(at: StoreLocation, queued: QueuedPurge, asker: Asker, clock: Clock, on_progress: OnProgress) -> int:
    """Carry out a purge of the store at `at`; how many sagas it purged.

    Raises:
        StoreUnavailableError, BrokenStoreError: the store cannot be used.
        RefusedError: the orchestrator that runs does not know how to purge.

    """
    if isinstance(at, Path):
        return await _purge_file(at, queued, asker, clock, on_progress)
    tables = await open_to_write(at)
    try:
        await purging.queue(tables, queued, asker, clock.now_ms())
        while ours := [one for one in await purging.waiting(tables) if one.purge_id == queued.purge_id]:
            step = await purging.purge(tables, ours[0], PURGE_ROWS_MAX, clock.now_ms())
            if step.next_key == ours[0].from_key:
                await clock.sleep(POLL_MS)
            [(purged, _ended_at)] = await tables.fetch_all("purge", (queued.purge_id,))
            on_progress(purged)
        acts = PurgeStep(0, 0)
        while (from_key := acts.next_key) is not None:
            acts = await purging.forget_acts(tables, queued.wanted.ended_before, from_key, PURGE_ROWS_MAX)
            if acts.next_key == from_key:
                await clock.sleep(POLL_MS)
        [(purged, _ended_at)] = await tables.fetch_all("purge", (queued.purge_id,))
    finally:
        await tables.close()
    return int(purged)


async def ask_for(at: StoreLocation, queued: QueuedPurge, asker: Asker, clock: Clock) -> None:
    """Leave a purge to whoever owns the store, now or next.

    Raises:
        StoreUnavailableError: the store does not answer.

    """
    tables = await open_to_write(at)
    try:
        await purging.queue(tables, queued, asker, clock.now_ms())
    finally:
        await tables.close()


async def _purge_file(path: Path, queued: QueuedPurge, asker: Asker, clock: Clock, on_progress: OnProgress) -> int:
    is_queued = False
    while True:
        if StoreLock(path).holder() is None:
            try:
                return await _purge_ourselves(path, queued, asker, clock, on_progress, is_queued=is_queued)
            except StoreRefusedError:
                if StoreLock(path).holder() is None:
                    raise  # nobody was faster: it is the store itself that refuses
        if not is_queued:
            await ask_for(path, queued, asker, clock)
            is_queued = True
        purged, is_done = await _looked_up(path, queued.purge_id)
        on_progress(purged)
        if is_done:
            return purged
        await clock.sleep(POLL_MS)


async def compact(path: Path, clock: Clock) -> tuple[int, int]:
    """Write the store's file anew without the space that is free in it; its bytes before and after.

    Raises:
        StoreRefusedError: an orchestrator runs on the store, which would have to stand still for as long.

    """
    store = await open_store(path, clock)
    try:
        await store.tidy()
        before = path.stat().st_size  # noqa: ASYNC240 -- one stat of a local file
        await store.compact()
    finally:
        await store.close()
    return before, path.stat().st_size  # noqa: ASYNC240


async def _purge_ourselves(
    path: Path, queued: QueuedPurge, asker: Asker, clock: Clock, on_progress: OnProgress, *, is_queued: bool
) -> int:
    store = await open_store(path, clock)
    try:
        if not is_queued:
            await store.queue_purge(queued, asker)
        await _finish(store, queued.purge_id, on_progress)
    finally:
        await store.close()
    purged, _ = await _looked_up(path, queued.purge_id)
    return purged


async def _finish(store: SqliteStore, purge_id: str, on_progress: OnProgress) -> None:
    """Every step that is left of the purge, then the acts of what is gone."""
    purged = 0
    for queued in await store.waiting_purges():
        if queued.purge_id != purge_id:
            continue
        step = await store.purge(queued, PURGE_ROWS_MAX)
        while step.next_key is not None:
            purged += step.purged
            on_progress(purged)
            step = await store.purge(replace(queued, from_key=step.next_key), PURGE_ROWS_MAX)
        acts = await store.forget_acts(queued.wanted.ended_before, 0, PURGE_ROWS_MAX)
        while acts.next_key is not None:
            acts = await store.forget_acts(queued.wanted.ended_before, acts.next_key, PURGE_ROWS_MAX)
    await store.tidy()


async def _looked_up(path: Path, purge_id: str) -> tuple[int, bool]:
    reader = await StoreReader.open(path)
    try:
        return await reader.purge(purge_id)
    finally:
        await reader.close()
