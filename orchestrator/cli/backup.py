"""`saga backup`."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.progress import DownloadColumn, TimeRemainingColumn

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, say
from kafka_saga.orchestrator.cli.progress import progress_bar
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.store.backing_up import Source, file_of_service, restore_line, sources, targets
from kafka_saga.orchestrator.operations.store.backup_set import MANIFEST, write_manifest
from kafka_saga.orchestrator.store.location import file_of
from kafka_saga.orchestrator.store.presence import check_store
from kafka_saga.runtime.backup import back_up, one_cut
from kafka_saga.runtime.clock import SystemClock, rfc3339
from kafka_saga.runtime.errors import NotFoundError, RefusedError, UsageError
from kafka_saga.runtime.replacing import check_finished

_PAGE_BYTES = 4_096
_BY_ITS_SERVER = (
    "back it up with pg_dump or by archiving its log (point-in-time recovery), and services with --service; after such "
    "a backup is put back, `saga store recovered` lets it go on (docs/operating.md)"
)
_Made = tuple[Source, Path, int]


def backup(
    destination: Annotated[Path, Parameter(help="A file, or a folder; with --all a folder")],
    /,
    *,
    service: Annotated[str | None, Parameter(help="That service's database, not the orchestrator's")] = None,
    every: Annotated[bool, Parameter(name="--all", negative="", help="The orchestrator's and every service's")] = False,
    force: Annotated[bool, Parameter(negative="", help="Replace a backup of that name")] = False,
    json: Annotated[bool, Parameter(negative="", help="One JSON object a copy, for programs")] = False,
    common: SettingFlags = DEFAULTS,
) -> None:
    """Copy a database while its owner goes on working; say how to put it back.

    A copy is one file, readable by you only, checked, and whole or not there at all. With --all the copies are of one
    moment, and `backup.json` beside them says so: `saga restore` puts such a set back. After a restore, what was
    ordered since is read from Kafka again: back up more often than the topics' retention.

    Examples:
        saga backup /backups/orchestrator.db
        saga backup /backups/payment.db --service payment
        saga backup /backups/monday --all              # a folder: one file each, all of one moment
        saga backup /backups/orchestrator.db --force   # replace yesterday's

    """
    if every and service is not None:
        raise UsageError("give --service or --all, not both")
    settings = common.settings()
    if service is not None:
        chosen = [_service(service, settings)]
    else:
        store = file_of(settings.store_at, _BY_ITS_SERVER)
        check_store(store)
        chosen = sources(store, _services(settings) if every else [])
    for source in chosen:
        check_finished(source.path)
    if every:
        absent = [source for source in chosen[1:] if not source.path.exists()]
        chosen = [source for source in chosen if source not in absent]
        for source in absent:
            say(f"{source.owner} has no database at {source.path}: left out")
        try:
            destination.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {destination}: {error.strerror}") from error
    wanted = targets(chosen, destination, every=every)
    made = _one_cut(wanted, destination, force=force) if every else [_copied(*wanted[0], force=force)]
    for source, copy, size in made:
        if json:
            print_json({"owner": source.owner, "source": str(source.path), "copy": str(copy), "bytes": size})
        else:
            console().print(f"{copy}  {size / 1_000_000:,.1f} MB, of {source.path}", soft_wrap=True)
    say("to restore, stop what runs, then look first (without --dry-run it is done):")
    say(f"  {restore_line(destination if every else made[0][1], service=service, every=every)}")


def _services(settings: Settings) -> list[Source]:
    return [_service(name, settings) for name in registry_of(settings).services]


def _service(name: str, settings: Settings) -> Source:
    known = registry_of(settings).services
    if name not in known:
        raise NotFoundError(f"there is no service '{name}'; known: {', '.join(sorted(known)) or 'none'}")
    return Source(name, file_of_service(name, settings.database_of(name)))


def _one_cut(wanted: list[tuple[Source, Path]], folder: Path, *, force: bool) -> list[_Made]:
    """Copies of one moment, listed beside them."""
    if (folder / MANIFEST).exists():
        if not force:
            raise RefusedError(f"{folder} has a backup already: give another name, or replace it with --force")
        (folder / MANIFEST).unlink()  # the copies that it lists are about to go
    clock = SystemClock()
    at = rfc3339(clock.now_ms())
    with one_cut([source.path for source, _ in wanted], pause=lambda: asyncio.run(clock.sleep(50))) as snapshots:
        made = [
            _copied(source, copy, force=force, snapshot=snapshot)
            for (source, copy), snapshot in zip(wanted, snapshots, strict=True)
        ]
    write_manifest(folder, wanted, at)
    return made


def _copied(source: Source, copy: Path, *, force: bool, snapshot: sqlite3.Connection | None = None) -> _Made:
    bar = progress_bar(DownloadColumn(), TimeRemainingColumn())
    task = bar.add_task(source.owner, total=None)

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done * _PAGE_BYTES, total=total * _PAGE_BYTES)

    with bar:
        size = back_up(source.path, copy, replaces=force, on_progress=show, snapshot=snapshot)
    return source, copy, size
