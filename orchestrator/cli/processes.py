"""`saga orchestrator`."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.app import run_orchestrator
from kafka_saga.orchestrator.cli.options import (
    AS_SET,
    DEFAULTS,
    BrokerWait,
    HttpFlag,
    ProcessFlags,
    SettingFlags,
)
from kafka_saga.orchestrator.cli.serving import log_remarks
from kafka_saga.runtime.process import run_process
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.trace_export import exported_traces


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
    http: HttpFlag = None,
    broker_wait: BrokerWait = None,
    process: ProcessFlags = AS_SET,
) -> int:
    """Run the orchestrator: it reads requests and replies, and sends commands, until it is stopped.

    One process owns one file; any number share a database. It stops cleanly on Ctrl-C or SIGTERM, and nothing is lost
    when it is killed.

    Examples:
        saga orchestrator --bootstrap-servers localhost:9092

        saga orchestrator --http 127.0.0.1:7242

        saga orchestrator --app shop.sagas --data-dir /var/lib/saga

        SAGA_REPLICA=one saga orchestrator --store postgresql://saga@db/orders

    """
    settings = common.loaded(
        in_flight_max=in_flight_max,
        partitions=partitions,
        create_topics=create_topics,
        park_missing=park_missing,
        active=active,
        http=http,
        broker_wait_ms=broker_wait,
        **process.given,
    ).settings
    configure_logging(process="orchestrator", level=settings.log_level, log_format=settings.log_format)
    log_remarks()
    with exported_traces("saga-orchestrator", os.environ):
        return run_process(lambda lifecycle: run_orchestrator(lifecycle, settings))
