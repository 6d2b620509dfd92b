"""`saga participant`: the other room as a process (docs/decisions/0002)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.offered import find_participant
from kafka_saga.orchestrator.cli.options import AS_DURATION, DEFAULTS, BrokerWait, SettingFlags
from kafka_saga.orchestrator.cli.serving import run_participant
from kafka_saga.runtime.telemetry import LogFormat


def participant(
    name: Annotated[str, Parameter(help="inventory, payment, orders, or `module:object` for your own")],
    *,
    common: SettingFlags = DEFAULTS,
    database: Annotated[
        Path | None, Parameter(help="Its database file [default: NAME.db in the data directory]")
    ] = None,
    seed_file: Annotated[
        Path | None, Parameter(help="JSON with the stock and accounts the services start with")
    ] = None,
    handler_timeout: Annotated[
        int | None, AS_DURATION, Parameter(help="How long a handler may take that says nothing else [default: 2s]")
    ] = None,
    create_topics: Annotated[bool | None, Parameter(help="Create missing topics at the start")] = None,
    broker_wait: BrokerWait = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    log_format: LogFormat | None = None,
) -> int:
    """Run a participant: it handles the commands of one service until it is stopped.

    A participant of yours is an object made with `Participant("name")`; where its module has a coroutine function
    `prepare(connection)`, that runs first, to create its tables.

    Examples:
        saga participant inventory

        saga participant shop.shipping:shipping --database shipping.db

    """
    settings = common.loaded(
        create_topics=create_topics,
        handler_timeout_ms=handler_timeout,
        broker_wait_ms=broker_wait,
        log_level=log_level,
        log_format=log_format,
    ).settings
    found = find_participant(name, seed_file)
    return run_participant(found.participant, prepare=found.prepare, database=database, settings=settings)
