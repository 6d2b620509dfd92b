"""How much a store holds, and how much of it could go: for `saga doctor`."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.orchestrator.operations.checks.finding import Finding
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import Purge
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.limits import WAL_BYTES_MAX
from kafka_saga.runtime.sqlite import WAL_KEPT_BYTES_MAX
from kafka_saga.runtime.wal import wal_bytes
from kafka_saga.runtime.wording import counted

_MEGABYTE = 1_000_000


async def check_size(path: Path, now: int, retention_ms: int | None) -> list[Finding]:
    """File and log, how many sagas, the oldest unfinished one, and what is older than `retention_ms`."""
    if not path.exists():  # noqa: ASYNC240 -- one stat of a local file
        return []
    size = path.stat().st_size  # noqa: ASYNC240
    try:
        reader = await StoreReader.open(path)
    except StoreRefusedError:  # another version's; the check of the store has said so
        return []
    try:
        sagas, purged, free = await reader.count_all(), await reader.count_purged(), await reader.free_bytes()
        oldest = await reader.oldest_unfinished()
        purgeable = 0 if retention_ms is None else await reader.count_purgeable(Purge(now - retention_ms))
    finally:
        await reader.close()
    room = f"{size / _MEGABYTE:,.1f} MB ({free / _MEGABYTE:,.1f} MB free in it)"
    found = f"{room}, {counted(sagas, 'saga')}, {purged:,} purged"
    kept = "for ever" if retention_ms is None else counted(retention_ms // 86_400_000, "day")
    unfinished = "none" if oldest is None else f"{oldest.saga_id}, since {rfc3339(oldest.created_at)} ({oldest.state})"
    return [
        Finding("ok", "store size", found, "", {"bytes": size, "freeBytes": free, "sagas": sagas, "purged": purged}),
        _log_finding(wal_bytes(path)),
        Finding("ok", "oldest unfinished", unfinished),
        Finding("ok", "retention", f"finished sagas are kept {kept}; {purgeable:,} are older and go next"),
    ]


def _log_finding(size: int) -> Finding:
    found = f"{size / _MEGABYTE:,.1f} MB"
    if size <= WAL_KEPT_BYTES_MAX:
        return Finding("ok", "write-ahead log", found)
    advice = "a program holds an old snapshot of the store open (a SQL shell, a copy in progress): end it"
    if size <= WAL_BYTES_MAX:
        return Finding("warning", "write-ahead log", found, advice, {"bytes": size})
    return Finding("wrong", "write-ahead log", f"{found}: no new sagas are accepted", advice)
