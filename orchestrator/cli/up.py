"""`saga up`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.supervisor.stack import SERVICES
from kafka_saga.orchestrator.supervisor.system import Plan, run_system
from kafka_saga.runtime.telemetry import LogFormat


def up(
    *,
    common: SettingFlags = DEFAULTS,
    participant: Annotated[
        tuple[str, ...] | None,
        Parameter(
            help="Run this one, as `saga participant` does; repeat for more [default: inventory, payment, orders]",
            negative="",
            consume_multiple=False,
        ),
    ] = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    log_format: Annotated[LogFormat | None, Parameter(help="json shows the processes' log lines as they are")] = None,
) -> int:
    """Run broker, orchestrator and participants together until Ctrl-C; what dies is started again.

    Where no Kafka is configured, the embedded broker runs too, and commands in other terminals find it by themselves.

    Examples:
        saga up

        saga up --bootstrap-servers localhost:9092 --data-dir /tmp/shop

        saga up --app shop.sagas --participant shop.services:stock --participant shop.services:billing

    """
    loaded = common.loaded(log_level=log_level, log_format=log_format)
    settings = loaded.settings
    registry = registry_of(settings)  # a wrong module is said now, not by a child that dies of it
    plan = Plan(
        settings=settings,
        saga_type=registry.saga_types[0],
        embedded=not loaded.kafka_configured,
        flags=_flags(common, settings.log_level),
        participants=participant or SERVICES,
        environment=dict(os.environ),
    )
    return asyncio.run(run_system(plan))


def _flags(common: SettingFlags, log_level: str) -> tuple[str, ...]:
    """What was said to us, for the children; variables and `saga.toml` they read themselves."""
    flags = ["--log-level", log_level]
    for name, value in (
        ("--config", common.config),
        ("--prefix", common.prefix),
        ("--data-dir", common.data_dir),
        ("--store", common.store),
    ):
        if value is not None:
            flags += [name, str(value)]
    for module in common.app or ():
        flags += ["--app", module]
    return tuple(flags)
