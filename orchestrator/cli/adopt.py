"""`saga adopt`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, NamedTuple

from cyclopts import Parameter

from kafka_saga.messaging.inspection import Inspection
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.asking import confirmed
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json, print_rows, say
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.kafka.adopting import Adoption, Begin, Opened, examine, take_over
from kafka_saga.orchestrator.operations.kafka.needed_topics import topics_read
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation, read_address
from kafka_saga.orchestrator.store.port import Advance, Batch
from kafka_saga.orchestrator.store.presence import check_free as check_store_free
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.participants.store.sqlite import check_free as check_database_free
from kafka_saga.participants.store.sqlite import open_store as open_participant
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import RefusedError
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.sqlite import open_reader
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import counted

ORCHESTRATOR = "orchestrator"
_CLOCK = SystemClock()


class _Owner(NamedTuple):
    """Who reads for the group: a service's participant, or the orchestrator."""

    name: str
    database: StoreLocation | PostgresUrl
    group: str
    topics: tuple[str, ...]


def adopt(
    name: Annotated[str, Parameter(help="A service's name, or `orchestrator`")],
    /,
    *,
    begin: Annotated[Begin, Parameter(name="--from", help="Where to read on, in every partition")],
    database: Annotated[
        str | None, Parameter(help="A file, or postgresql://… [default: the setting's, or NAME.db in data_dir]")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Count, and change nothing")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask", show_default=False)] = False,
    json: Annotated[bool, Parameter(negative="", help="One JSON object, for programs")] = False,
    common: SettingFlags = DEFAULTS,
) -> int:
    """Make a consumer group this database's own, and say where it reads on.

    A start refuses a group that another store, or a program that is not ours, has read for: it cannot know what was
    done there. Stop the owner first; the database is made where there is none. `--from committed` goes on where the
    group's last owner was, `earliest` handles everything that Kafka still has, `end` only what comes from now on.

    Examples:
        saga adopt payment --from committed --dry-run     # how many commands would be handled a second time?
        saga adopt payment --from committed
        saga adopt orchestrator --from earliest --yes

    """
    settings = common.settings()
    configure_logging(process="adopt", level="error")
    owner = _owner(settings, name, None if database is None else read_address(database))
    _check_stopped(owner, dry_run=dry_run)
    plan = asyncio.run(_examine(settings, owner, begin))
    if not json:
        _show(owner, plan)
    if dry_run:
        say("nothing was changed")
    elif not confirmed(_question(owner, plan), yes=yes):
        say("nothing was changed")
        return 1
    else:
        plan = asyncio.run(_adopt(settings, owner, begin))
        say(f"group '{owner.group}' is {owner.database}'s now: start {owner.name}")
    if json:
        print_json(_document(owner, begin, plan, adopted=not dry_run))
    return 0


def _check_stopped(owner: _Owner, *, dry_run: bool) -> None:
    at = owner.database
    holder = asyncio.run(_holder(owner))
    if not dry_run and holder is not None:
        raise RefusedError(f"{holder} has {at}: stop it first, then adopt the group")
    if isinstance(at, Path):
        (check_store_free if owner.name == ORCHESTRATOR else check_database_free)(at)


async def _holder(owner: _Owner) -> str | None:
    """Who is at work on it."""
    at = owner.database
    if isinstance(at, Path):
        return StoreLock(at).holder()
    asked = _of_services().workers_of(at, owner.name) if isinstance(at, PostgresUrl) else _in_postgres().replicas_of(at)
    found: str | None = await asked
    return found


def _of_services() -> ModuleType:
    from kafka_saga.participants.store import postgres_positions  # noqa: PLC0415 -- its driver is an extra

    return postgres_positions


def _in_postgres() -> ModuleType:
    from kafka_saga.orchestrator.operations.store import positions_in_postgres  # noqa: PLC0415 -- its driver is an extra

    return positions_in_postgres


def _owner(settings: Settings, name: str, database: Path | PostgresUrl | None) -> _Owner:
    names = settings.topics
    if name == ORCHESTRATOR:
        topics = topics_read(registry_of(settings), names)
        at = PostgresLocation(database, settings.store_schema) if isinstance(database, PostgresUrl) else database
        return _Owner(name, at or settings.store_at, settings.group_name, tuple(topics))
    group = f"{names.prefix}{name}"
    where = database or settings.service_database or settings.database_of(name)
    return _Owner(name, where, group, (names.commands(name),))


async def _examine(settings: Settings, owner: _Owner, begin: Begin) -> Adoption:
    inspection = Inspection(settings.kafka)
    try:
        return await examine(inspection, owner.group, owner.topics, await _stored(owner.database), begin)
    finally:
        await inspection.close()


async def _stored(database: StoreLocation | PostgresUrl) -> Mapping[TopicPartition, int]:
    """How far the database has read, without changing it."""
    if not isinstance(database, Path):
        asked = _of_services() if isinstance(database, PostgresUrl) else _in_postgres()
        positions: Mapping[TopicPartition, int] = await asked.positions_of(database)
        return positions
    found = identify(database)
    table = found and found.table("offsets")
    if table is None:
        return {}
    reader = await open_reader(database)
    try:
        rows = await reader.fetch_all(f"SELECT topic, partition, next FROM {table}")  # noqa: S608
        return {TopicPartition(topic, partition): following for topic, partition, following in rows}
    finally:
        await reader.close()


async def _adopt(settings: Settings, owner: _Owner, begin: Begin) -> Adoption:
    """First the store, then the group: where it is broken off in between, a start is still refused."""
    inspection = Inspection(settings.kafka)
    try:
        async with _opened(owner) as (store_id, stored, move):
            plan = await examine(inspection, owner.group, owner.topics, stored, begin)
            await move({tp: at for tp, at in plan.positions.items() if stored.get(tp) != at})
            await take_over(inspection, plan, store_id, _CLOCK)
            return plan
    finally:
        await inspection.close()


def _opened(owner: _Owner) -> AbstractAsyncContextManager[Opened]:
    at = owner.database
    if isinstance(at, PostgresLocation):
        opened: AbstractAsyncContextManager[Opened] = _in_postgres().opened_for_positions(at)
        return opened
    if isinstance(at, PostgresUrl):
        services: AbstractAsyncContextManager[Opened] = _of_services().opened_for_positions(at, owner.name)
        return services
    return _orchestrators(at) if owner.name == ORCHESTRATOR else _services(at)


@asynccontextmanager
async def _orchestrators(path: Path) -> AsyncIterator[Opened]:
    store = await open_store(path, _CLOCK)
    try:
        stored = await store.offsets()

        async def move(to: Mapping[TopicPartition, int]) -> None:
            await store.commit(Batch(store.now(), offsets={tp: Advance(stored.get(tp), at) for tp, at in to.items()}))

        yield Opened(store.store_id, stored, move)
    finally:
        await store.close()


@asynccontextmanager
async def _services(path: Path) -> AsyncIterator[Opened]:
    lock = StoreLock(path)
    await lock.take("saga adopt", _CLOCK)
    try:
        store = await open_participant(path, after_crash=lock.after_crash)
        try:
            stored = await store.offsets()

            async def move(to: Mapping[TopicPartition, int]) -> None:
                async with store.transaction():
                    await store.move_offsets(stored, to, max(_CLOCK.now_ms(), await store.newest_ms()))

            yield Opened(store.store_id, stored, move)
        finally:
            await store.close()
    finally:
        lock.release()


def _show(owner: _Owner, plan: Adoption) -> None:
    rows = [
        {"partition": f"{tp.topic}[{tp.partition}]", "from": at.position, "end": at.end}
        | {what: getattr(at, what) for what in _MEANINGS}
        for tp, at in plan.places.items()
    ]
    print_rows("table", ["partition", "from", "end", *_MEANINGS], rows)
    for what, meaning in _MEANINGS.items():
        count = plan.total(what)
        if count:
            say(f"{counted(count, 'record')} {meaning.format(name=owner.name)}")


_MEANINGS: dict[Literal["again", "known", "skipped", "new"], str] = {
    "again": "handled by another owner, and handled again here: this database knows nothing of what that did",
    "known": "handled by this database before: read again, and answered from memory",
    "skipped": "that nobody has handled, and {name} never will",
    "new": "that nobody has handled yet",
}


def _question(owner: _Owner, plan: Adoption) -> str:
    again, skipped = plan.total("again"), plan.total("skipped")
    return (
        f"adopt group '{owner.group}' for {owner.database}: {counted(again, 'record')} handled again, "
        f"{counted(skipped, 'record')} skipped?"
    )


def _document(owner: _Owner, begin: Begin, plan: Adoption, *, adopted: bool) -> dict[str, object]:
    return {
        "owner": owner.name,
        "database": str(owner.database),
        "group": plan.group,
        "from": begin,
        "adopted": adopted,
        **{what: plan.total(what) for what in _MEANINGS},
        "partitions": [
            {"topic": tp.topic, "partition": tp.partition, **at._asdict()} for tp, at in plan.places.items()
        ],
    }
