"""Flags that several commands share, and the settings they lead to."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from orchestrator.config import Settings, load_settings

Output = Literal["table", "json", "jsonl"]

_NAMES = {"bootstrap_servers": "kafka.bootstrap_servers", "prefix": "topics.prefix"}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """Settings that every command takes; they win over `SAGA_…` variables and the file."""

    config: Annotated[Path | None, Parameter(help="A TOML file of settings [default: saga.toml where it exists]")] = (
        None
    )
    bootstrap_servers: Annotated[
        str | None, Parameter(name=["--bootstrap-servers", "-b"], help="Kafka, host:port[,host:port]")
    ] = None
    prefix: Annotated[str | None, Parameter(help="Put before every topic's name, e.g. `shop.`")] = None
    data_dir: Annotated[Path | None, Parameter(help="Where databases live [default: .saga]")] = None
    store: Annotated[Path | None, Parameter(help="The orchestrator's database file")] = None
    app: Annotated[
        tuple[str, ...] | None,
        Parameter(help="A module with saga definitions; repeat for more", negative="", consume_multiple=False),
    ] = None

    def settings(self, **flags: object) -> Settings:
        """File < environment < these flags and `flags`."""
        fields = asdict(self)
        file = fields.pop("config")
        given = {_NAMES.get(name, name): value for name, value in {**fields, **flags}.items()}
        return load_settings(flags=given, environment=os.environ, file=file).settings


DEFAULTS = Common()
