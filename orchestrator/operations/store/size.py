"""How much a store holds, and how much of it could go: for `saga doctor`."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.orchestrator.operations.checks.finding import Finding
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation, may_be_there
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.retention import Purge
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.limits import WAL_BYTES_MAX
from kafka_saga.runtime.sqlite import WAL_KEPT_BYTES_MAX
from kafka_saga.runtime.wal import wal_bytes
from kafka_saga.runtime.wording import counted

_MEGABYTE = 1_000_000


async def check_size(at: StoreLocation, now: int, retention_ms: int | None) -> list[Finding]:
    """How large it is, how many sagas, the oldest unfinished one, and what is older than `retention_ms`."""
    if not may_be_there(at):
        return []
    try:
        reader = await StoreReader.open(at)
    except StoreRefusedError:  # another version's; the check of the store has said so
        return []
    try:
        sagas, purged = await reader.count_all(), await reader.count_purged()
        free = await reader.free_bytes() if isinstance(at, Path) else 0
        oldest = await reader.oldest_unfinished()
        purgeable = 0 if retention_ms is None else await reader.count_purgeable(Purge(now - retention_ms))
    finally:
        await reader.close()
    kept = "for ever" if retention_ms is None else counted(retention_ms // 86_400_000, "day")
    unfinished = "none" if oldest is None else f"{oldest.saga_id}, since {rfc3339(oldest.created_at)} ({oldest.state})"
    held, details = f"{counted(sagas, 'saga')}, {purged:,} purged", {"sagas": sagas, "purged": purged}
    return [
        *(_of_file(at, free, held, details) if isinstance(at, Path) else await _of_tables(at, held, details)),
        Finding("ok", "oldest unfinished", unfinished),
        Finding("ok", "retention", f"finished sagas are kept {kept}; {purgeable:,} are older and go next"),
    ]


def _of_file(path: Path, free: int, held: str, details: dict[str, int]) -> list[Finding]:
    size = path.stat().st_size
    found = f"{size / _MEGABYTE:,.1f} MB ({free / _MEGABYTE:,.1f} MB free in it), {held}"
    details = {"bytes": size, "freeBytes": free, **details}
    return [Finding("ok", "store size", found, "", details), _log_finding(wal_bytes(path))]


async def _of_tables(at: PostgresLocation, held: str, details: dict[str, int]) -> list[Finding]:
    from kafka_saga.orchestrator.operations.checks.server import check_tables  # noqa: PLC0415 -- an extra

    return [Finding("ok", "store size", held, "", details), *await check_tables(at)]


def _log_finding(size: int) -> Finding:
    found = f"{size / _MEGABYTE:,.1f} MB"
    if size <= WAL_KEPT_BYTES_MAX:
        return Finding("ok", "write-ahead log", found)
    advice = "a program holds an old snapshot of the store open (a SQL shell, a copy in progress): end it"
    if size <= WAL_BYTES_MAX:
        return Finding("warning", "write-ahead log", found, advice, {"bytes": size})
    return Finding("wrong", "write-ahead log", f"{found}: no new sagas are accepted", advice)
