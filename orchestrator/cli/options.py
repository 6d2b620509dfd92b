"""Flags that several commands share, and the settings they lead to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

from kafka_saga.orchestrator.config import Loaded, Settings, load_settings, remarks
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.telemetry import LogFormat

Output = Literal["table", "json", "jsonl"]

SagaId = Annotated[str, Parameter(help="The saga's id, or its beginning where only one begins so")]
SagaType = Annotated[str | None, Parameter(name="--type", help="Its type, where several types have the id")]
OutputFlag = Annotated[Output, Parameter(name=["--output", "-o"], help="table for people, json or jsonl for programs")]

ParticipantFlag = Annotated[
    tuple[str, ...] | None,
    Parameter(
        name="--participant",
        help="A participant, `module:object`; repeat for more [default: the setting participants]",
        negative="",
        consume_multiple=False,
    ),
]

HttpFlag = Annotated[
    str | None, Parameter(name="--http", help="Serve dashboard and HTTP API here, HOST:PORT; port 0: any free one")
]

_NAMES = {
    "bootstrap_servers": "kafka.bootstrap_servers",
    "prefix": "topics.prefix",
    "http": "http.listen",
    "read_only": "http.read_only",
}


@Parameter(name="*", group=Group("Settings", sort_key=9))
@dataclass(frozen=True, slots=True)
class SettingFlags:
    """Settings that every command takes; they win over `SAGA_…` variables and the file."""

    config: Annotated[Path | None, Parameter(help="A TOML file of settings [default: saga.toml where it exists]")] = (
        None
    )
    bootstrap_servers: Annotated[
        str | None, Parameter(name=["--bootstrap-servers", "-b"], help="Kafka, host:port[,host:port]")
    ] = None
    prefix: Annotated[str | None, Parameter(help="Put before every topic's name, e.g. `shop.`")] = None
    data_dir: Annotated[Path | None, Parameter(help="Where databases live [default: .saga]")] = None
    store: Annotated[str | None, Parameter(help="The orchestrator's store: a file, or postgresql://…")] = None
    app: Annotated[
        tuple[str, ...] | None,
        Parameter(help="A module with saga definitions; repeat for more", negative="", consume_multiple=False),
    ] = None

    def settings(self, **flags: object) -> Settings:
        """File < environment < these flags and `flags`; what looks like a slip in the environment is said."""
        for remark in remarks(os.environ):
            sys.stderr.write(f"saga: {remark}\n")
        return self.loaded(**flags).settings

    def loaded(self, **flags: object) -> Loaded:
        """The settings, and where each comes from."""
        fields = asdict(self)
        file = fields.pop("config")
        given = {_NAMES.get(name, name): value for name, value in {**fields, **flags}.items()}
        return load_settings(flags=given, environment=os.environ, file=file)


DEFAULTS = SettingFlags()

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def read_duration(text: str) -> int:
    """`90s`, `15m`, `2h` or `7d` as milliseconds; a bare number is seconds.

    Raises:
        UsageError: it is none of these.

    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", text.strip().lower())
    unit = None if match is None else _UNITS_MS.get(match[2] or "s")
    if match is None or unit is None:
        raise UsageError(f"'{text}' is no length of time: write 90s, 15m, 2h or 7d")
    return int(float(match[1]) * unit)


def _converted(_type: Any, tokens: Sequence[Token]) -> int:
    try:
        return read_duration(tokens[0].value)
    except UsageError as error:
        raise ValueError(str(error)) from error


AS_DURATION = Parameter(converter=_converted, n_tokens=1, metavar="TIME")
"""A length of time in milliseconds, written with its unit on the command line."""

BrokerWait = Annotated[
    int | None,
    AS_DURATION,
    Parameter(help="How long to wait for a Kafka that is away, e.g. 30s; 0 ends at once [default: until it comes]"),
]

AdminPortFlag = Annotated[
    int | None,
    Parameter(
        name="--admin-port", help="Serve /livez, /readyz and /metrics there; 0: any free port [default: nowhere]"
    ),
]
AdminHostFlag = Annotated[
    str | None,
    Parameter(name="--admin-host", help="The address of that port; 0.0.0.0 in a container [default: 127.0.0.1]"),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ProcessFlags:
    """How a process that stays shows itself."""

    admin_port: AdminPortFlag = None
    admin_host: AdminHostFlag = None
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    log_format: LogFormat | None = None

    @property
    def given(self) -> dict[str, object]:
        """As settings."""
        return asdict(self)


AS_SET = ProcessFlags()
"""As files and variables say."""
