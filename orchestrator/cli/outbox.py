"""`saga outbox`: requests for sagas that services write in their own transactions."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from kafka_saga.client.outbox import TABLE, OutboxRelay, ddl
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.serving import log_remarks
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.process import Lifecycle, run_process
from kafka_saga.runtime.telemetry import LogFormat, configure_logging, log

app = cyclopts.App(name="outbox", help="Start sagas in a service's own transaction: the table, and its relay.")

Table = Annotated[str, Parameter(help="What the table is called, with its schema where that is not searched")]


@app.command(name="ddl")
def print_ddl(
    *,
    postgresql: Annotated[bool, Parameter(help="For PostgreSQL", negative="", show_default=False)] = False,
    sqlite: Annotated[bool, Parameter(help="For SQLite", negative="", show_default=False)] = False,
    table: Table = TABLE,
) -> int:
    """Print the SQL that makes the outbox table, for your own migrations.

    Examples:
        saga outbox ddl --postgresql

        saga outbox ddl --sqlite | sqlite3 shop.db

    """
    if postgresql == sqlite:
        raise UsageError("say for which database: saga outbox ddl --postgresql, or --sqlite")
    sys.stdout.write(ddl("postgresql" if postgresql else "sqlite", table))
    return 0


@app.command
def relay(
    *,
    database: Annotated[str, Parameter(help="The service's database: postgresql://…, or a SQLite file")],
    table: Table = TABLE,
    common: SettingFlags = DEFAULTS,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    log_format: LogFormat | None = None,
) -> int:
    """Publish what services write into their outbox, until it is stopped.

    Any number of relays may run on one PostgreSQL database; on a SQLite file one works and the others wait.

    Examples:
        saga outbox relay --database postgresql://shop@db/shop --bootstrap-servers kafka:9092

        saga outbox relay --database shop.db

    """
    settings = common.settings(log_level=log_level, log_format=log_format)
    configure_logging(process="outbox", level=settings.log_level, log_format=settings.log_format)
    log_remarks()
    prefix = settings.topics.prefix

    async def run(lifecycle: Lifecycle) -> None:
        log("outbox").info("outbox.started", table=table)
        await OutboxRelay(database, kafka=settings.kafka, prefix=prefix, table=table).run(lifecycle.stopping)
        log("outbox").info("outbox.stopped")

    return run_process(run)
