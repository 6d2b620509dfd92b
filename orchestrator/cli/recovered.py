"""`saga store recovered`."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.asking import confirmed
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json, say
from kafka_saga.orchestrator.cli.restore import ends_of, wait_for_services
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.engine.new_life import begin_anew
from kafka_saga.orchestrator.operations.kafka.told_errors import read_told_errors
from kafka_saga.orchestrator.operations.store.restoring import new_life
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.lives import LIFE
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining
from kafka_saga.orchestrator.store.owners import BeatingReplicas
from kafka_saga.runtime.clock import SystemClock, rfc3339
from kafka_saga.runtime.errors import StoreRefusedError, UsageError
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import decode_trusted

if TYPE_CHECKING:
    from kafka_saga.orchestrator.store.postgres.tables import PostgresTables

_NAME = "saga store recovered"


def recovered(
    *,
    force: Annotated[
        bool, Parameter(negative="", help="Also where services have not handled what was sent to them before")
    ] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask", show_default=False)] = False,
    json: Annotated[bool, Parameter(negative="", help="One JSON object, for programs")] = False,
    common: SettingFlags = DEFAULTS,
) -> int:
    """Go on from a PostgreSQL store that its server's own tools have put back to an earlier moment.

    Stop every orchestrator, restore the database (pg_restore, point-in-time recovery, or a standby that had not
    everything took over), then run this, then start them again. Services must run. A new life of the store begins, as
    with `saga restore --orchestrator`: old replies are not applied, commands under way are sent again with their ids,
    requests since that moment are read again. Broken off, it is run again; until then no orchestrator starts.

    Examples:
        saga store recovered --store postgresql://saga@db/orders
        saga store recovered --yes --json

    """
    settings = common.settings()
    configure_logging(process="store", level="error")
    at = settings.store_at
    if not isinstance(at, PostgresLocation):
        raise UsageError(f"{at} is a file: put a backup of it back with `saga restore`")
    registry = registry_of(settings)
    meta = asyncio.run(_check_stopped(at))
    if not confirmed(f"begin a new life of {at}, which has seen {rfc3339(int(meta['clock']))} last?", yes=yes):
        say("nothing was changed")
        return 1
    again, life = asyncio.run(_renew(at, settings, registry, force=force))
    if json:
        print_json({"store": str(at), "life": life, "again": again})
    else:
        say(f"{counted(again, 'command')} are sent again when an orchestrator starts: start them")
    return 0


async def _check_stopped(at: PostgresLocation) -> dict[str, str]:
    """What the store notes of itself."""
    from kafka_saga.orchestrator.store.postgres.tables import what_is_there  # noqa: PLC0415 -- its driver is an extra

    tables = await _connected(at)
    try:
        if not await tables.schema_version():
            raise (await what_is_there(tables)).error()
        who = await BeatingReplicas(tables).now(SystemClock())
        if who is not None:
            raise StoreRefusedError(f"{who} works on {at}: stop every orchestrator first")
        return dict(await tables.fetch_all("meta"))
    finally:
        await tables.close()


async def _renew(at: PostgresLocation, settings: Settings, registry: Registry, *, force: bool) -> tuple[int, int]:
    """Begin the life; how many commands are sent again, and its number."""
    from kafka_saga.orchestrator.store.postgres.store import open_store  # noqa: PLC0415 -- its driver is an extra
    from kafka_saga.orchestrator.store.postgres.tables import RENEWING  # noqa: PLC0415

    clock = SystemClock()
    await wait_for_services((), settings, registry, force=force)
    tables = await _connected(at)
    store = await open_store(at, clock, renews=True)
    try:
        ends = await ends_of(settings, registry)
        meta: dict[str, str] = dict(await tables.fetch_all("meta"))
        errors = await read_told_errors(settings.kafka, registry, settings.topics, int(meta["clock"]))
        earlier = int(decode_trusted(meta[LIFE])["number"]) if LIFE in meta else 0
        begins = new_life(
            registry, settings.topics, ends, restored=set(), earlier=earlier, errors=errors, now=clock.now_ms()
        )
        joining = Joining(_NAME, version("kafka-saga"), "[]", settings.in_flight_max, settings.partitions)
        await store.members.join(joining)
        async with tables.transaction():
            await tables.execute("end_lives", (store.members.replica,))
            await tables.execute_many("note", [(RENEWING, rfc3339(clock.now_ms()))])
        again = await begin_anew(store, tables, begins, registry, settings.topics)
        await tables.execute("forget_note", (RENEWING,))
        await store.members.leave()
    finally:
        await store.close()
        await tables.close()
    return again, begins[0].number


async def _connected(at: PostgresLocation) -> PostgresTables:
    from kafka_saga.orchestrator.store.postgres.tables import connect_tables  # noqa: PLC0415 -- its driver is an extra

    return await connect_tables(at, application=_NAME, read_only=False)
