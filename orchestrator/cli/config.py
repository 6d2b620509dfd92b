"""`saga config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cyclopts
from pydantic import SecretStr

from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.config import ENV_PREFIX, Loaded, describe

app = cyclopts.App(name="config", help="Show every setting, its value and where it comes from.")

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


def settings_rows(loaded: Loaded) -> list[dict[str, Any]]:
    """Every setting with its value, source, variable and purpose."""
    return [
        {
            "setting": name,
            "value": _plain_value(value),
            "source": loaded.sources.get(name, "default"),
            "variable": ENV_PREFIX + name.upper().replace(".", "__"),
            "what for": purpose,
        }
        for name, value, purpose in describe(loaded.settings)
    ]


def _plain_value(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None or value in ("", {}):
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
