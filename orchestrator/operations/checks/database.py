"""The files: whether they are there, whose they are, whether they are sound and have room to grow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from kafka_saga.orchestrator.operations.checks.finding import Finding, listed
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store import migrations
from kafka_saga.orchestrator.store.owners import FileOwner
from kafka_saga.orchestrator.store.presence import check_store as check_is_store
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.tables import SqliteTables
from kafka_saga.runtime.limits import DISK_FREE_BYTES_MIN, DISK_FREE_BYTES_WANTED, EXAMINED_BYTES_MAX
from kafka_saga.runtime.migrations import has_table, newest_schema
from kafka_saga.runtime.soundness import find_damage
from kafka_saga.runtime.sqlite import SqlConnection, open_reader
from kafka_saga.runtime.store_lock import Owner, StoreLock
from kafka_saga.runtime.wal import room_needed

_MEGABYTE = 1_000_000
_RESTORE = (
    "stop that process, restore the file from a backup, start it again (docs/operating.md, Backup and restore): "
    "what it still writes is lost with its file"
)


def check_file(path: Path, check: str, deleted: Mapping[Path, Sequence[int]]) -> Finding | None:
    """Whether the database at `path` was deleted or replaced under a process that has it open; None where not.

    Args:
        path: where the database is, or was.
        check: what the finding is called.
        deleted: files that are deleted and still open, with the processes that have them (`deleted_files`).

    """
    owner = StoreLock(path).owner()
    lost = None if owner is None else owner.lost(path)
    if owner is not None and lost is not None:
        return Finding("wrong", check, lost, _RESTORE, {"path": str(path), "owner": owner.text})
    processes = deleted.get(path.parent.resolve() / path.name)
    if processes:
        numbers = listed(map(str, processes))
        found = f"{path} was deleted, and process {numbers} still works with it"
        return Finding("wrong", check, found, _RESTORE, {"path": str(path), "processes": list(processes)})
    return None


async def check_store(
    path: Path,
    registry: Registry | None,
    *,
    deleted: Mapping[Path, Sequence[int]] = MappingProxyType({}),
    thorough: bool = False,
) -> tuple[list[Finding], bool]:
    """Whether the store can be read, is sound, and the code fits what it holds; and whether it may be asked more."""
    gone = check_file(path, "store", deleted)
    if not path.exists():  # noqa: ASYNC240 -- one stat of a local file
        advice = "`saga orchestrator` creates it at its first start"
        return [gone or Finding("note", "store", f"there is none at {path}", advice, {"path": str(path)})], False
    check_is_store(path)
    connection = await open_reader(path)
    reader = StoreReader(SqliteTables(connection), FileOwner(path))
    try:
        if not await has_table(connection, "sagas"):
            found = f"{path} is no orchestrator's database: it has no table of sagas"
            advice = "name the right one with --store or --data-dir; a copy without its -wal file is empty, too"
            return [gone or Finding("wrong", "store", found, advice, {"path": str(path)}), holder(path)], False
        newest, version = newest_schema(migrations.__name__), await reader.schema_version()
        details = {"path": str(path), "schemaVersion": version, "newestSchemaVersion": newest}
        held = f"{path} has schema version {version}"
        if version > newest:
            advice = f"this program knows versions up to {newest}: use the newer kafka-saga that wrote it"
            return [Finding("wrong", "store", held, advice, details)], False
        if version < newest:
            advice = f"version {newest} comes with the next start of the orchestrator; until then nothing reads it"
            return [gone or Finding("note", "store", held, advice, details), holder(path)], False
        findings = [gone or Finding("ok", "store", f"{path}, schema version {version}", "", details), holder(path)]
        findings.append(await _check_sound(connection, path, thorough=thorough))
        if registry is not None:
            findings += await check_versions(reader, registry)
        return findings, True
    finally:
        await reader.close()


def holder(path: Path) -> Finding:
    """Which orchestrator runs on the store."""
    owner: Owner | None = StoreLock(path).owner()
    if owner is None:
        return no_orchestrator()
    return Finding("ok", "orchestrator", f"{owner.text} holds the store", "", {"owner": owner.text})


def no_orchestrator() -> Finding:
    """What is said where none runs."""
    return Finding("note", "orchestrator", "none runs on this store", "`saga orchestrator` starts one")


def check_disks(data_dir: Path, files: Iterable[Path]) -> list[Finding]:
    """How much room is left where databases live: once for each disk.

    Args:
        data_dir: where they are by default; it need not be there yet.
        files: the store and the services' databases; those that are not there need nothing.

    """
    folder = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    disks = {folder.stat().st_dev: (folder, 0)}
    for file in files:
        if file.exists():
            folder = file.resolve().parent
            place, needed = disks.get(folder.stat().st_dev, (folder, 0))
            disks[folder.stat().st_dev] = place, needed + room_needed(file)
    return [_check_disk(place, needed) for place, needed in disks.values()]


def _check_disk(place: Path, needed: int) -> Finding:
    usage = shutil.disk_usage(place)
    return judge_disk(str(place), usage.free, usage.total, writable=os.access(place, os.W_OK), needed=needed)


def judge_disk(place: str, free: int, total: int, *, writable: bool, needed: int = 0) -> Finding:
    """What that means: a disk of a few gigabytes is not too small only because it is one.

    Args:
        place: a folder on it.
        free: bytes that are left.
        total: bytes in all.
        writable: whether this user may write there.
        needed: bytes that the write-ahead logs there need in any case.

    """
    details = {"path": place, "freeBytes": free, "totalBytes": total, "neededBytes": needed}
    found = f"{free / _MEGABYTE:,.0f} MB free of {total / _MEGABYTE:,.0f} MB at {place}"
    advice = "a full disk ends every process that writes: free some, or move the data; `saga doctor` says what is large"
    if not writable:
        return Finding("warning", "disk", f"{place} cannot be written by this user", "see who owns it", details)
    if free < _MEGABYTE:
        return Finding("wrong", "disk", f"full: {found}", advice, details)
    if free < needed:
        found = f"nearly full: {found}, and write-ahead logs need up to {needed / _MEGABYTE:,.0f} MB more"
        return Finding("wrong", "disk", found, advice, details)
    if free < min(DISK_FREE_BYTES_MIN, total // 50):
        return Finding("wrong", "disk", f"nearly full: {found}", advice, details)
    if free < min(DISK_FREE_BYTES_WANTED, total // 10):
        return Finding("warning", "disk", found, advice, details)
    return Finding("ok", "disk", found, "", details)


async def _check_sound(connection: SqlConnection, path: Path, *, thorough: bool) -> Finding:
    size = path.stat().st_size  # noqa: ASYNC240 -- one stat of a local file
    if size > EXAMINED_BYTES_MAX and not thorough:
        found = f"not looked at: {size / _MEGABYTE:,.0f} MB take about {max(1, 4 * size // 10**9)} s to read"
        return Finding("note", "integrity", found, "`saga doctor --thorough` reads every page", {"bytes": size})
    damage = await find_damage(connection)
    if damage:
        advice = "stop the orchestrator, and restore the file from a backup"
        found = f"{len(damage)} places are damaged, the first: {damage[0]}"
        return Finding("wrong", "integrity", found, advice, {"damage": damage})
    return Finding("ok", "integrity", "every page and index is sound", "", {"bytes": size})


async def check_versions(reader: StoreReader, registry: Registry) -> list[Finding]:
    """Whether the code has what unfinished sagas need, and means by it what it did."""
    on_record = await reader.definitions()
    changed = [
        f"{saga_type} v{version} ({change})"
        for (saga_type, version), meaning in on_record.items()
        if (known := registry.get(saga_type, version)) is not None
        and (change := known.change_since(*meaning)) is not None
    ]
    missing = [
        f"{saga_type} v{version}"
        for saga_type, version in sorted(await reader.unfinished_versions())
        if registry.get(saga_type, version) is None
    ]
    findings = []
    if changed:
        advice = "put the old steps back, and give yours a new version"
        found = f"{listed(sorted(changed))}: not what it was when it first ran here"
        findings.append(Finding("wrong", "versions", found, advice, {"changed": changed}))
    if missing:
        advice = "register them with --app, or park their sagas: `saga orchestrator --park-missing`"
        found = f"unfinished sagas need {listed(missing)}, which no module has"
        findings.append(Finding("wrong", "versions", found, advice, {"missing": missing}))
    return findings or [Finding("ok", "versions", "the code has every version that unfinished sagas need")]
