"""`saga orchestrator`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from kafka_saga.orchestrator.app import run_orchestrator
from kafka_saga.orchestrator.cli.options import DEFAULTS, BrokerWait, SettingFlags
from kafka_saga.orchestrator.cli.serving import log_remarks
from kafka_saga.runtime.process import run_process
from kafka_saga.runtime.telemetry import LogFormat, configure_logging


def orchestrator(
    *,
    common: SettingFlags = DEFAULTS,
    in_flight_max: Annotated[int | None, Parameter(help="Sagas that run at once")] = None,
    partitions: Annotated[int | None, Parameter(help="Partitions of topics that are created")] = None,
    create_topics: Annotated[bool | None, Parameter(help="Create missing topics at the start")] = None,
    park_missing: Annotated[
        bool | None, Parameter(help="Park sagas whose version no code has, instead of refusing to start")
    ] = None,
    active: Annotated[
        dict[str, int] | None, Parameter(help="The version that starts new sagas: --active.order 1 [default: newest]")
    ] = None,
    broker_wait: BrokerWait = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    log_format: LogFormat | None = None,
) -> int:
    """Run the orchestrator: it reads requests and replies, and sends commands, until it is stopped.

    One process owns one store. It stops cleanly on Ctrl-C or SIGTERM, and nothing is lost when it is killed.

    Examples:
        saga orchestrator --bootstrap-servers localhost:9092

        saga orchestrator --app shop.sagas --data-dir /var/lib/saga

    """
    settings = common.loaded(
        in_flight_max=in_flight_max,
        partitions=partitions,
        create_topics=create_topics,
        park_missing=park_missing,
        active=active,
        broker_wait_ms=broker_wait,
        log_level=log_level,
        log_format=log_format,
    ).settings
    configure_logging(process="orchestrator", level=settings.log_level, log_format=settings.log_format)
    log_remarks()
    return run_process(lambda lifecycle: run_orchestrator(lifecycle, settings))
