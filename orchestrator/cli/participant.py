"""`saga participant`: the one place of this package that knows the other room (docs/decisions/0002)."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.serving import run_participant
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.services import SERVICES, read_seed
from kafka_saga.participants.store.port import Prepare
from kafka_saga.runtime.errors import ConfigError
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
    create_topics: Annotated[bool | None, Parameter(help="Create missing topics at the start")] = None,
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
    settings = common.settings(create_topics=create_topics, log_level=log_level, log_format=log_format)
    found, prepare = _find(name, seed_file)
    return run_participant(found, prepare=prepare, database=database, settings=settings)


def _find(name: str, seed_file: Path | None) -> tuple[Participant, Prepare | None]:
    service = SERVICES.get(name)
    if service is not None:
        return service.participant, partial(service.prepare, seed=read_seed(seed_file))
    module_name, _, attribute = name.partition(":")
    if not attribute:
        raise ConfigError(f"there is no service '{name}': it is one of {', '.join(SERVICES)}, or `module:object`")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may fail in any way
        raise ConfigError(f"cannot import {module_name}: {type(error).__name__}: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Participant):
        raise ConfigError(f"{name} is not a Participant: make one with {attribute} = Participant('…')")
    return found, getattr(module, "prepare", None)
