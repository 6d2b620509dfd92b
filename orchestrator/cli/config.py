"""`saga config`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from pydantic import SecretStr

from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json, print_rows, say
from kafka_saga.orchestrator.config import Loaded, describe, unknown_setting, variable_of
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.wording import plain

app = cyclopts.App(name="config", help="Show every setting, its value and where it comes from; or one value.")

MASK = "********"


@app.command
def show(*, output: OutputFlag = "table", common: SettingFlags = DEFAULTS) -> None:
    """Show every setting: its value, its source, and what it is for. Secrets are masked.

    A setting comes from its default, `saga.toml`, a `SAGA_…` variable or a flag; the later wins.

    Examples:
        saga config show
        SAGA_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 saga config show
        saga config show -o jsonl | jq -r 'select(.source != "default") | .setting'

    """
    rows = settings_rows(common.loaded())
    if output != "table":
        print_rows(output, [], rows)
        return
    shown = [{**row, "value": _text(row["value"])} for row in rows]
    print_rows(output, ["setting", "value", "source", "what for"], shown)
    say("each is set in saga.toml, or by its variable: SAGA_ + its name in capitals, with __ for the dot")


@app.command
def get(
    name: Annotated[str, Parameter(help="The setting, as `saga config show` calls it, e.g. kafka.bootstrap_servers")],
    /,
    *,
    output: Annotated[
        Literal["plain", "json"],
        Parameter(name=["--output", "-o"], help="json has a type; null: not set"),
    ] = "plain",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Print the value of one setting and nothing else, for scripts. Of several values each is a line.

    What is not set is an empty line; a secret is masked. Exit code 3: there is no such setting.

    Examples:
        saga config get kafka.bootstrap_servers
        kcat -b "$(saga config get kafka.bootstrap_servers)" -L
        saga config get app -o json

    """
    values = {row["setting"]: row["value"] for row in settings_rows(common.loaded())}
    if name not in values:
        raise NotFoundError(unknown_setting(name))
    value = values[name]
    if output == "json":
        print_json(value)
    else:
        sys.stdout.write("".join(f"{plain(line)}\n" for line in _lines(value)))


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}={part}" for key, part in value.items()]
    if isinstance(value, list):
        return [str(part) for part in value]
    if value is None:
        return [""]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def settings_rows(loaded: Loaded) -> list[dict[str, Any]]:
    """Every setting with its value, source, variable and purpose."""
    # Where the default follows from other settings, what holds is the value.
    effective = {"store": loaded.settings.store_at, "group": loaded.settings.group_name}
    return [
        {
            "setting": name,
            "value": _plain_value(effective.get(name, value)),
            "source": loaded.sources.get(name, "default"),
            "variable": variable_of(name),
            "what for": purpose,
        }
        for name, value, purpose in describe(loaded.settings)
    ]


def _plain_value(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path | PostgresLocation | PostgresUrl):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain_value(one) for name, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None or value in ("", {}):
        return "-"
    if isinstance(value, list | dict):
        return ", ".join(_lines(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
