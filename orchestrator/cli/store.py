"""`saga store`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, print_rows, say
from kafka_saga.orchestrator.cli.progress import progress_bar
from kafka_saga.orchestrator.cli.recovered import recovered
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.store.location import PostgresLocation, read_address
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.telemetry import configure_logging

if TYPE_CHECKING:
    from kafka_saga.orchestrator.store.postgres.moving import Moved

app = cyclopts.App(name="store", help="A store on PostgreSQL: move one there from a file, make its tables.")
app.command(recovered)


@app.command
def migrate(*, common: SettingFlags = DEFAULTS) -> None:
    """Make a PostgreSQL store's tables, or bring them up to date, as the role that owns them.

    A start of `saga orchestrator` does the same, where its own role may. Orchestrators that run go on meanwhile.

    Examples:
        saga store migrate --store postgresql://saga_migrate@db/orders

    """
    settings = common.settings()
    configure_logging(process="store", level="error")
    at = settings.store_at
    if not isinstance(at, PostgresLocation):
        raise UsageError("say where: --store postgresql://USER@HOST/DATABASE, or SAGA_STORE")
    console().print(f"{at} is at schema version {asyncio.run(_migrate(at))}", soft_wrap=True)


async def _migrate(at: PostgresLocation) -> int:
    from kafka_saga.orchestrator.store.postgres.schema import migrate_store  # noqa: PLC0415 -- its driver is an extra

    return await migrate_store(at)


@app.command
def copy(
    *,
    source: Annotated[
        str | None, Parameter(name="--from", help="The file, as PATH or sqlite:PATH [default: the data directory's]")
    ] = None,
    target: Annotated[
        str | None,
        Parameter(name="--to", help="The database, postgresql://…; a setting keeps its password off the command line"),
    ] = None,
    json: Annotated[bool, Parameter(negative="", help="One JSON object, for programs")] = False,
    common: SettingFlags = DEFAULTS,
) -> None:
    """Move a store with everything that runs from a file to PostgreSQL; nothing is lost, and its id stays the same.

    Stop the orchestrator first; services may go on. Tables are made where there are none, in the schema that the
    setting `store_schema` names. At the end all rows are counted on both sides, and the file is marked: nobody starts
    on it any more. A copy that was broken off, or killed, goes on where it was when it is run again. Then set
    SAGA_STORE to the database for every orchestrator and every command.

    Examples:
        saga store copy --from sqlite:.saga/orchestrator.db --to postgresql://saga@db/sagas
        SAGA_STORE=postgresql://saga:…@db/sagas saga store copy   # from the data directory's file

    """
    settings = common.settings()
    configure_logging(process="store", level="error")
    path, at = _file(source, settings), _database(target, settings)
    moved = asyncio.run(_move(path, at))
    if json:
        print_json(
            {
                "from": str(path),
                "to": str(at),
                "storeId": moved.store_id,
                "alreadyDone": moved.was_done,
                "rows": dict(moved.rows),
            }
        )
    elif moved.was_done:
        console().print(f"{path} was moved to {at} before: there is nothing left to do", soft_wrap=True)
    else:
        print_rows("table", ["table", "rows"], [{"table": name, "rows": count} for name, count in moved.rows.items()])
    say(f"{path} is used no more: set SAGA_STORE to {at}, then start orchestrators")


def _file(source: str | None, settings: Settings) -> Path:
    if source is None:
        return settings.store if isinstance(settings.store, Path) else settings.data_dir / "orchestrator.db"
    path = read_address(source)
    if not isinstance(path, Path):
        raise UsageError("--from takes a file, as PATH or sqlite:PATH: between databases use pg_dump and pg_restore")
    return path


def _database(target: str | None, settings: Settings) -> PostgresLocation:
    url = settings.store if target is None else read_address(target)
    if not isinstance(url, PostgresUrl):
        raise UsageError("say where to: --to postgresql://USER@HOST/DATABASE, or SAGA_STORE")
    return PostgresLocation(url, settings.store_schema)


async def _move(path: Path, at: PostgresLocation) -> Moved:
    from kafka_saga.orchestrator.store.postgres.moving import move  # noqa: PLC0415 -- its driver is an extra

    bar = progress_bar()
    task = bar.add_task("copying", total=None)

    def show(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total)

    try:
        with bar:
            return await move(path, at, SystemClock(), show)
    except asyncio.CancelledError:
        say("broken off: run the same command again, and it goes on from here")
        raise
