"""`saga participant`: the other room as a process (docs/decisions/0002)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.offered import find_participant
from kafka_saga.orchestrator.cli.options import (
    AS_DURATION,
    AS_SET,
    DEFAULTS,
    BrokerWait,
    ProcessFlags,
    SettingFlags,
)
from kafka_saga.orchestrator.cli.serving import run_participant
from kafka_saga.participants.store.ddl import ddl
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.postgres import is_postgres_url


def participant(
    name: Annotated[str, Parameter(help="inventory, payment, orders, `module:object` for your own, or ddl")],
    *,
    common: SettingFlags = DEFAULTS,
    database: Annotated[
        str | None, Parameter(help="A file, or postgresql://… [default: NAME.db in the data directory]")
    ] = None,
    worker: Annotated[
        str | None, Parameter(help="Its name among the service's workers on PostgreSQL [default: the host's]")
    ] = None,
    seed_file: Annotated[
        Path | None, Parameter(help="JSON with the stock and accounts the services start with")
    ] = None,
    handler_timeout: Annotated[
        int | None, AS_DURATION, Parameter(help="How long a handler may take that says nothing else [default: 2s]")
    ] = None,
    create_topics: Annotated[bool | None, Parameter(help="Create missing topics at the start")] = None,
    broker_wait: BrokerWait = None,
    process: ProcessFlags = AS_SET,
) -> int:
    """Run a participant: it handles the commands of one service until it is stopped.

    A participant of yours is an object made with `Participant("name")`; where its module has a coroutine function
    `prepare(connection)`, that runs first, to create its tables.

    Examples:
        saga participant inventory

        saga participant shop.shipping:shipping --database shipping.db

        saga participant inventory --database postgresql://inventory@db/shop --worker inventory-2

        saga participant ddl --database postgresql   # the guard's tables as SQL, for migrations of your own

    """
    if name == "ddl":
        return _print_ddl(database or "postgresql")
    settings = common.loaded(
        create_topics=create_topics,
        handler_timeout_ms=handler_timeout,
        broker_wait_ms=broker_wait,
        worker=worker,
        **process.given,
    ).settings
    found = find_participant(name, seed_file)
    return run_participant(found.participant, prepare=found.prepare, database=database, settings=settings)


def _print_ddl(database: str) -> int:
    kind = "postgresql" if is_postgres_url(database) else database
    if kind not in {"postgresql", "sqlite"}:
        raise UsageError(f"--database {database}: the guard's tables can be printed for postgresql, or for sqlite")
    sys.stdout.write(ddl("postgresql" if kind == "postgresql" else "sqlite"))
    return 0
