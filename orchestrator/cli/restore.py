"""`saga restore`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from kafka_saga.messaging.inspection import Inspection
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.asking import confirmed
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json, print_rows, say
from kafka_saga.orchestrator.cli.progress import progress_bar
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.engine.new_life import begin_anew
from kafka_saga.orchestrator.operations.kafka.told_errors import read_refusals, read_told_errors
from kafka_saga.orchestrator.operations.store import restoring
from kafka_saga.orchestrator.operations.store.backing_up import ORCHESTRATOR, copy_name, file_of_service
from kafka_saga.orchestrator.operations.store.backup_set import (
    MANIFEST,
    Manifest,
    check_copy,
    read_manifest,
    store_id_of,
)
from kafka_saga.orchestrator.operations.store.outlook import Outlook, has_begun, look, number_of_life, schema_of
from kafka_saga.orchestrator.operations.store.restoring import Ends, Target
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.lives import Life
from kafka_saga.orchestrator.store.location import file_of
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.orchestrator.store.tables import SqliteTables
from kafka_saga.participants.store.restoring import keep_refusals, read_on
from kafka_saga.participants.store.sqlite import MIGRATIONS
from kafka_saga.runtime.clock import SystemClock, rfc3339
from kafka_saga.runtime.errors import BrokenStoreError, RefusedError, SagaError, StoreRefusedError, UsageError
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.migrations import first_migration, newest_schema
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.replacing import forget_prepared, replace_all
from kafka_saga.runtime.sqlite import SqlConnection, copy_address
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.telemetry import configure_logging

_BY_ITS_SERVER = (
    "put it back with PostgreSQL's own tools, then run `saga store recovered`; services with --service "
    "(docs/operating.md)"
)
_SERVICES_WAIT_MS = 15_000
"""Participants that run tell Kafka each second how far they are."""

Begins = tuple[Life, Mapping[TopicPartition, int]]
_ORCHESTRATORS = "kafka_saga.orchestrator.store.migrations"


def restore(
    source: Annotated[Path, Parameter(help="The folder of `saga backup --all`, or one copy")],
    /,
    *,
    every: Annotated[bool, Parameter(name="--all", negative="", help="Everything that the backup has")] = False,
    orchestrator: Annotated[bool, Parameter(negative="", help="The orchestrator's store")] = False,
    service: Annotated[
        tuple[str, ...], Parameter(help="That service's database; repeat for more", negative="", show_default=False)
    ] = (),
    dry_run: Annotated[bool, Parameter(negative="", help="Say what it would mean, and change nothing")] = False,
    force: Annotated[
        bool,
        Parameter(
            negative="",
            help="Also copies that are not of one moment, or of another store, and services that are behind",
        ),
    ] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask", show_default=False)] = False,
    json: Annotated[bool, Parameter(negative="", help="JSON, for programs")] = False,
    common: SettingFlags = DEFAULTS,
) -> int:
    """Put a backup back, and go on from it: nothing that happened before is applied a second time.

    Stop what is to be restored first. What is replaced is kept beside it, under its name with the time. A new life
    begins: old commands and replies are not applied, commands in flight are sent again with their ids, and requests
    since the backup are read again. It can be run again if it was interrupted.

    With everything lost, restore everything. With only the orchestrator's store lost, restore it alone: the services
    are ahead, and answer with what they remember. A service alone handles its commands since the backup again, and may
    decide otherwise than it did.

    Examples:
        saga restore /backups/monday --dry-run                   # what would each choice mean?
        saga restore /backups/monday --all
        saga restore /backups/monday --orchestrator --yes
        saga restore /backups/monday --service payment --dry-run
        saga restore /backups/orchestrator.db --orchestrator     # one copy, of `saga backup`

    """
    settings = common.settings()
    configure_logging(process="restore", level="error")
    registry = registry_of(settings)
    wanted = [*([ORCHESTRATOR] if orchestrator else []), *dict.fromkeys(service)]
    _check_choice(wanted, every=every, dry_run=dry_run)
    targets = _chosen(_copies(source, wanted, settings, registry), wanted, source)
    _check_one_cut(source, targets, force=force)
    _check_targets(targets, force=force)
    if not dry_run:
        _check_stopped(targets)
    ends = asyncio.run(ends_of(settings, registry))
    outlooks = [
        look(choice, registry, settings.topics, ends) for choice in _choices(targets, named=every or bool(wanted))
    ]
    if dry_run:
        _report(outlooks, json=json)
        return 0
    with ExitStack() as stack:
        _lock(targets, stack)
        if not json:
            _report(outlooks, json=False)
        if not confirmed(f"replace the databases of {', '.join(target.owner for target in targets)}?", yes=yes):
            say("nothing was changed")
            return 1
        if any(target.owner == ORCHESTRATOR for target in targets):
            asyncio.run(wait_for_services([target.owner for target in targets], settings, registry, force=force))
        ends = asyncio.run(ends_of(settings, registry))  # again: nobody whose database is replaced writes any more
        stack.callback(forget_prepared, [target.path for target in targets])  # where it fails: they may be large
        done = asyncio.run(_restore(targets, settings, registry, ends))
    _say_done(targets, done, json=json)
    return 0


def _lock(targets: Sequence[Target], stack: ExitStack) -> None:
    """Be the owner of what is replaced, until `stack` is left."""
    for target in targets:
        lock = StoreLock(target.path)
        asyncio.run(lock.take("saga restore", SystemClock()))
        stack.callback(lock.release)


def _check_choice(wanted: Sequence[str], *, every: bool, dry_run: bool) -> None:
    if every and wanted:
        raise UsageError("give --all, or say which: --orchestrator, --service NAME")
    if not (every or wanted or dry_run):
        raise UsageError("say what to restore: --all, --orchestrator or --service NAME; --dry-run says what each means")


def _copies(source: Path, wanted: Sequence[str], settings: Settings, registry: Registry) -> dict[str, Target]:
    """Every copy that `source` has, by whose it is."""
    services = {name: settings.database_of(name) for name in registry.services}
    # A service on a server is no matter of those that are asked for beside it.
    paths = {name: at for name, at in services.items() if isinstance(at, Path) or not wanted or name in wanted}
    if not wanted or ORCHESTRATOR in wanted or isinstance(settings.store_at, Path):
        paths = {ORCHESTRATOR: file_of(settings.store_at, _BY_ITS_SERVER), **paths}
    unknown = [name for name in wanted if name not in paths]
    if unknown:
        raise UsageError(f"there is no service '{unknown[0]}'; known: {', '.join(registry.services)}")
    paths = {owner: at.resolve() if isinstance(at, Path) else at for owner, at in paths.items()}
    if not source.is_dir():
        if not source.is_file():
            raise UsageError(f"there is no backup at {source}")
        owner = wanted[0] if wanted else ORCHESTRATOR
        return {owner: _target(owner, paths, source)}
    manifest = read_manifest(source)
    if manifest is None:
        files = {owner: source / copy_name(owner, at) for owner, at in paths.items()}
        return {owner: _target(owner, paths, file) for owner, file in files.items() if file.is_file()}
    return _listed(manifest, source, wanted, paths)


def _target(owner: str, paths: Mapping[str, Path | PostgresUrl], copy: Path) -> Target:
    return Target(owner, file_of_service(owner, paths[owner]), copy)


def _listed(
    manifest: Manifest, folder: Path, wanted: Sequence[str], paths: Mapping[str, Path | PostgresUrl]
) -> dict[str, Target]:
    found: dict[str, Target] = {}
    for copy in manifest.copies:
        is_wanted = not wanted or copy.owner in wanted
        if copy.owner not in paths and is_wanted:
            raise RefusedError(f"the backup has a database of '{copy.owner}', which no saga knows: name its --app")
        if is_wanted:
            check_copy(folder, copy)
        if copy.owner in paths:
            found[copy.owner] = _target(copy.owner, paths, folder / copy.file)
    return found


def _chosen(found: Mapping[str, Target], wanted: Sequence[str], source: Path) -> list[Target]:
    missing = [owner for owner in wanted if owner not in found]
    if missing or not found:
        there = ", ".join(found) or "nothing"
        raise RefusedError(f"{source} has no copy of {missing[0] if missing else 'any database'}; it has {there}")
    return [found[owner] for owner in wanted or found]


def _check_one_cut(source: Path, targets: Sequence[Target], *, force: bool) -> None:
    """Copies of different moments know different things of one saga, and nobody can tell which (R59)."""
    if len(targets) < 2 or force:
        return
    manifest = read_manifest(source) if source.is_dir() else None
    if manifest is None or not manifest.one_cut:
        raise RefusedError(
            f"the copies in {source} are not of one moment (`saga backup --all` lists those that are in {MANIFEST}): "
            "sagas that were under way may keep effects that nobody undoes. Restore the orchestrator alone, which is "
            "safe with any copy of it, one service alone, or all of them with --force"
        )


def _check_targets(targets: Sequence[Target], *, force: bool) -> None:
    """Each copy is of the store it replaces, sound, and not of a newer program."""
    for target in targets:
        package = _ORCHESTRATORS if target.owner == ORCHESTRATOR else MIGRATIONS
        _check_owner(target, package)
        _check_sound(target.copy)
        schema, newest = schema_of(target.copy), newest_schema(package)
        if schema > newest:
            raise StoreRefusedError(
                f"{target.copy} has schema version {schema}, this program knows versions up to {newest}: "
                "run the newer kafka-saga that wrote it"
            )
        ours, theirs = _present_id(target), store_id_of(target.copy, target.owner, is_copy=True)
        if ours is not None and theirs is not None and ours != theirs and not force:
            raise StoreRefusedError(
                f"{target.copy} is a copy of another store ({theirs}) than {target.path} ({ours}): "
                "name the right backup, or replace it with --force"
            )


def _check_owner(target: Target, package: str) -> None:
    found = identify(target.copy, is_copy=True)
    begun = None if found is None else found.first_migration
    is_another_programs = begun is None and target.owner == ORCHESTRATOR  # a service has tables before it first starts
    if is_another_programs or begun not in {None, first_migration(package)}:
        raise StoreRefusedError(f"{target.copy} is no copy of the database of '{target.owner}': name the right backup")


def _check_stopped(targets: Sequence[Target]) -> None:
    for target in targets:
        holder = StoreLock(target.path).holder()
        if holder is not None:
            raise StoreRefusedError(f"{target.path} is in use by {holder}: stop it, then restore")


def _check_sound(copy: Path) -> None:
    try:
        with closing(sqlite3.connect(copy_address(copy), uri=True)) as connection:
            [(verdict,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        raise BrokenStoreError(f"{copy} is damaged ({error}): restore another backup") from error
    if verdict != "ok":
        raise BrokenStoreError(f"{copy} is damaged ({verdict}): restore another backup")


def _present_id(target: Target) -> str | None:
    """The id of the store that is to be replaced; None where nothing is lost with it, or it can no longer be read."""
    if not target.path.is_file():
        return None
    try:
        # A process that was started again on an empty disk has made a store before it was refused.
        return store_id_of(target.path, target.owner, is_copy=False) if has_begun(target.path) else None
    except (SagaError, sqlite3.Error):
        return None  # it is damaged: that is what backups are for


async def ends_of(settings: Settings, registry: Registry) -> Ends:
    """Where the topics that a new life must know of begin and end now."""
    inspection = Inspection(settings.kafka)
    try:
        return await restoring.topic_ends(inspection, restoring.topics_of(registry, settings.topics))
    finally:
        await inspection.close()


async def wait_for_services(restored: Collection[str], settings: Settings, registry: Registry, *, force: bool) -> None:
    """Services that are not restored handle what the old life sent them, before the new one asks again.

    Raises:
        RefusedError: they do not, and that is not forced.

    """
    clock = SystemClock()
    ahead = [service for service in registry.services if service not in restored]
    inspection = Inspection(settings.kafka)
    try:
        ends = await restoring.topic_ends(inspection, restoring.topics_of(registry, settings.topics))
        deadline = clock.monotonic_ms() + _SERVICES_WAIT_MS
        while left := await restoring.unhandled(inspection, settings.topics, ahead, ends):
            if clock.monotonic_ms() >= deadline:
                break
            await clock.sleep(500)
    finally:
        await inspection.close()
    if left and not force:
        counts = ", ".join(f"{service} {count}" for service, count in left.items())
        raise RefusedError(
            f"commands from before the restore are not handled yet ({counts}): start `saga participant "
            f"{next(iter(left))}` and run this again; or, where they can never be handled, --force"
        )


def _choices(targets: Sequence[Target], *, named: bool) -> list[list[Target]]:
    """What can be restored: what was asked for; else everything, and each database alone."""
    alone = [[target] for target in targets]
    return [list(targets)] if named or len(targets) == 1 else [list(targets), *alone]


async def _restore(targets: Sequence[Target], settings: Settings, registry: Registry, ends: Ends) -> dict[str, Any]:
    now = SystemClock().now_ms()
    services = [target for target in targets if target.owner != ORCHESTRATOR]
    stores = [target for target in targets if target.owner == ORCHESTRATOR]
    done: dict[str, Any] = {"again": 0}
    bar = progress_bar()
    task = bar.add_task("preparing", total=len(targets))
    with bar:
        for target in services:
            goes_on = _with_the_orchestrator(target, settings, ends) if stores else _alone(target, settings)
            await restoring.prepare_service(target, goes_on)
            bar.advance(task)
        for target in stores:
            restored = {service.owner for service in services}
            errors = {}
            if set(registry.services) - restored:
                errors = await read_told_errors(settings.kafka, registry, settings.topics, schema_clock(target.copy))
            earlier = max(number_of_life(target.copy, is_copy=True), number_of_life(target.path, is_copy=False))
            begins = restoring.new_life(
                registry, settings.topics, ends, restored=restored, earlier=earlier, errors=errors, now=now
            )

            async def begin(connection: SqlConnection, begins: Begins = begins) -> int:
                store = await SqliteStore.create(connection, SystemClock())
                return await begin_anew(store, SqliteTables(connection), begins, registry, settings.topics)

            done["again"] = await restoring.prepare_orchestrator(target, begin)
            done |= {"life": begins[0].number, "reasons": len(errors)}
            bar.advance(task)
    paths = [target.path for target in targets]
    stamp = rfc3339(now).replace("-", "").replace(":", "")
    done["kept"] = [str(path) for path in replace_all(paths, f".before-{stamp}")]
    return done


def _with_the_orchestrator(target: Target, settings: Settings, ends: Ends) -> restoring.Change:
    """It handles none of its old commands again."""

    async def change(prepared: Path) -> None:
        await read_on(prepared, ends.of(settings.topics.commands(target.owner)), SystemClock().now_ms())

    return change


def _alone(target: Target, settings: Settings) -> restoring.Change:
    """It handles its commands again, but for those that it has refused since: their sagas were undone without it."""

    async def change(prepared: Path) -> None:
        told = partial(read_refusals, settings.kafka, settings.topics.replies_of(target.owner))
        await keep_refusals(prepared, told, SystemClock().now_ms())

    return change


def schema_clock(copy: Path) -> int:
    """The newest moment that a copy of the orchestrator's store has seen; milliseconds."""
    with closing(sqlite3.connect(copy_address(copy), uri=True)) as connection:
        [(clock,)] = connection.execute("SELECT value FROM meta WHERE key = 'clock'").fetchall()
    return int(clock)


def _report(outlooks: Sequence[Outlook], *, json: bool) -> None:
    if json:
        for outlook in outlooks:
            print_json({"restore": list(outlook.owners), **outlook.figures, "notes": list(outlook.notes)})
        return
    for outlook in outlooks:
        say(f"restoring {', '.join(outlook.owners)}:")
        rows = [{"what": what, "how many": str(count)} for what, count in outlook.figures.items()]
        print_rows("table", ["how many", "what"], rows)
        for note in outlook.notes:
            say(f"  {note}")


def _say_done(targets: Sequence[Target], done: Mapping[str, Any], *, json: bool) -> None:
    if json:
        print_json({"restored": [target.owner for target in targets], **done})
        return
    for target in targets:
        say(f"{target.path} is restored from {target.copy}")
    for path in done["kept"]:
        say(f"what was there is {path}: delete it when you need it no more")
    starts = ["saga orchestrator" if one.owner == ORCHESTRATOR else f"saga participant {one.owner}" for one in targets]
    say(f"start again: {'; '.join(starts)}")
