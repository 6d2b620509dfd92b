"""`saga up`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.offered import offered
from kafka_saga.orchestrator.cli.options import (
    DEFAULTS,
    AdminHostFlag,
    BrokerWait,
    HttpFlag,
    ParticipantFlag,
    SettingFlags,
)
from kafka_saga.orchestrator.cli.output import say
from kafka_saga.orchestrator.config import Loaded, describe, load_settings
from kafka_saga.orchestrator.http.ports import Place, free_place
from kafka_saga.orchestrator.http.settings import HttpSettings, read_listen_address
from kafka_saga.orchestrator.operations.checks.fitting import Mismatch, compare
from kafka_saga.orchestrator.remembered import NAME, REMEMBERED, remember
from kafka_saga.orchestrator.store.presence import check_free
from kafka_saga.orchestrator.supervisor.system import Plan, run_system
from kafka_saga.runtime.errors import ConfigError, RefusedError
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.postgres import PostgresUrl, is_postgres_url
from kafka_saga.runtime.telemetry import LogFormat


def up(
    *,
    common: SettingFlags = DEFAULTS,
    participant: ParticipantFlag = None,
    check: Annotated[
        bool, Parameter(help="Refuse to start where sagas and participants do not fit, as `saga check` says")
    ] = True,
    http: HttpFlag = None,
    broker_wait: BrokerWait = None,
    admin_port: Annotated[
        int | None,
        Parameter(help="The orchestrator's port for health and metrics; participants take the next ones; 0: any free"),
    ] = None,
    admin_host: AdminHostFlag = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    log_format: Annotated[LogFormat | None, Parameter(help="json shows the processes' log lines as they are")] = None,
) -> int:
    """Run broker, orchestrator and participants together until Ctrl-C; what dies is started again.

    Where no Kafka is configured, the embedded broker runs too, and commands in other terminals find it by themselves.
    What --app, --participant, --prefix and --store said is remembered in the data directory: the next `saga up`, and
    every other command there, need not be told again. saga.toml, variables and flags win over it.

    Examples:
        saga up

        saga up --bootstrap-servers localhost:9092 --data-dir /tmp/shop

        saga up --app shop.sagas --participant shop.services:stock --participant shop.services:billing

    """
    require("dashboard", "saga up")
    loaded = common.loaded(
        participants=participant,
        http=http,
        broker_wait_ms=broker_wait,
        admin_port=admin_port,
        admin_host=admin_host,
        log_level=log_level,
        log_format=log_format,
    )
    settings = loaded.settings
    registry = registry_of(settings)  # a wrong module is said now, not by a child that dies of it
    found = offered(settings, registry)
    participants = [one.participant for one in found]
    _complain(compare(registry, participants, handler_timeout_ms=settings.handler_timeout_ms), refuse=check)
    environment, at = dict(os.environ), settings.store_at
    if isinstance(at, Path):
        check_free(at)
    elif loaded.kafka_configured:
        environment |= {"SAGA_STORE": at.url.told_again}  # a command line can be read by everybody
    else:
        raise ConfigError(f"{at} outlives the embedded broker: name a Kafka with --bootstrap-servers")
    _remember(loaded, common.config)  # what is refused is not remembered
    plan = Plan(
        settings=settings,
        saga_type=registry.saga_types[0],
        embedded=not loaded.kafka_configured,
        flags=_flags(common, settings.log_level, broker_wait, admin_host),
        participants={one.participant.name: one.told for one in found},
        environment=environment,
        dashboard=_dashboard(settings.http),
    )
    return asyncio.run(run_system(plan))


def _dashboard(http: HttpSettings) -> Place:
    """Where it is told to be, on a port that it keeps when the orchestrator is started again."""
    wanted = None if http.listen is None else read_listen_address(http.listen)
    return free_place() if wanted is None or wanted.port == 0 else Place(wanted)


def _remember(loaded: Loaded, config: Path | None) -> None:
    """Keep what flags said now, and what they said before as far as it counts; nothing new where no flag was given."""
    path, values = loaded.settings.data_dir / NAME, _values(loaded)
    said = [
        name
        for name in REMEMBERED
        if loaded.sources.get(name, "").startswith("--") and not isinstance(values[name], PostgresUrl)
    ]
    known = [name for name in REMEMBERED if loaded.sources.get(name) == str(path)]
    if known:
        say(f"as remembered in {path}, which you may remove: {', '.join(known)}")
    if not said:
        return
    kept = [name for name in REMEMBERED if name in said or name in known or name == "app"]
    if remember(loaded.settings.data_dir, {name: values[name] for name in kept}):
        later = load_settings(flags={"data_dir": loaded.settings.data_dir}, environment=os.environ, file=config)
        counts = [name for name in kept if _values(later)[name] == values[name]]
        if counts:
            say(f"remembered in {path}, for every `saga` command here: {', '.join(counts)}")
        for name in sorted({*kept} - {*counts}):
            source = later.sources.get(name) or later.sources["app"]
            say(f"{name} is as you say now only: for other commands {source} decides")


def _values(loaded: Loaded) -> dict[str, Any]:
    return {name: value for name, value, _purpose in describe(loaded.settings)}


def _complain(found: list[Mismatch], *, refuse: bool) -> None:
    for item in found:
        say(f"{item.verdict}: {item}")
    if refuse and any(item.verdict == "wrong" for item in found):
        raise RefusedError(
            "sagas and participants do not fit: see above; `saga up --no-check` starts them nevertheless"
        )


def _flags(common: SettingFlags, log_level: str, broker_wait_ms: int | None, admin_host: str | None) -> tuple[str, ...]:
    """What was said to us, for the children; variables and `saga.toml` they read themselves."""
    flags = ["--log-level", log_level]
    for name, value in (
        ("--config", common.config),
        ("--prefix", common.prefix),
        ("--data-dir", common.data_dir),
        ("--admin-host", admin_host),
        ("--store", None if is_postgres_url(common.store or "") else common.store),
    ):
        if value is not None:
            flags += [name, str(value)]
    if broker_wait_ms is not None:
        flags += ["--broker-wait", f"{broker_wait_ms}ms"]
    for module in common.app or ():
        flags += ["--app", module]
    return tuple(flags)
