"""Settings: one frozen model, read once. File (TOML) < environment < flags; unset is not a default.

Below them all stands what `saga up` was last told in the same data directory (`remembered.py`).

`SAGA_KAFKA__BOOTSTRAP_SERVERS` sets `kafka.bootstrap_servers`, `SAGA_STORE_FILE` names a file with `store`; the plain
`KAFKA_BOOTSTRAP_SERVERS` of other tools is honoured too, and their `DATABASE_URL`, where it names a PostgreSQL database
and nobody else names a store. Where none of them names a Kafka, the embedded broker of a
`saga up` in the same data directory is taken. Nothing below the command line reads the environment. Other programs may
have `SAGA_…` variables too (Kubernetes makes `SAGA_SERVICE_PORT` for a service called saga): what is no setting is
ignored, with a remark where a typo is likely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import chain
from pathlib import Path
from platform import node
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.broker_file import DepartedBroker, read_broker_file
from kafka_saga.orchestrator.config_file import read_config_file
from kafka_saga.orchestrator.http.settings import HttpSettings
from kafka_saga.orchestrator.remembered import REMEMBERED, recall
from kafka_saga.orchestrator.store.location import (
    DEFAULT_SCHEMA,
    PostgresLocation,
    SchemaName,
    StoreAddress,
    StoreLocation,
)
from kafka_saga.runtime.admin_port import LOOPBACK, AdminPort
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.limits import (
    FENCE_RETENTION_MS,
    HANDLER_TIMEOUT_MS,
    HANDLER_TIMEOUT_MS_MAX,
    IN_FLIGHT_MAX,
    PURGED_RETENTION_MS,
    SAGA_RETENTION_MS,
)
from kafka_saga.runtime.postgres import IN_FILE, PostgresUrl, is_postgres_url
from kafka_saga.runtime.telemetry import LogFormat
from kafka_saga.schemas.topics import TopicNames

DEFAULT_FILE = Path("saga.toml")
ENV_PREFIX = "SAGA_"
_PLAIN_NAMES = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.bootstrap_servers"}
DATABASE_URL = "DATABASE_URL"
_DRIVER = re.compile(r"^(postgres(?:ql)?)\+\w+://")
"""SQLAlchemy's URLs name the driver."""

_OTHER_PREFIXES = ("SAGA_FAULT_", "SAGA_TEST_", "SAGA_ALLOW_FAULTS", "SAGA_CONFIG")
"""Variables of ours that are no settings."""
_TYPO_CUTOFF = 0.8
"""How alike names must be before one is taken for the other: `partition` and `partitions`, not `port`."""

_FLAGS = {"participants": "--participant", "http.listen": "--http", "service_databases": "--database"}
"""Flags that are not called as their setting."""

_MAPPINGS = ("active", "service_databases")
"""Settings with a value for each name: `active.order`, `SAGA_ACTIVE__ORDER`, or `SAGA_ACTIVE=order=1,refund=2`."""
_IN_FILES = {f"{name}_file": name for name in ("store", "service_database")}

_COMMA = re.compile(r",(?=[\w.-]+=)")
"""Before a name: a database's URL may have commas between its hosts."""

BOOTSTRAP_SERVERS = "kafka.bootstrap_servers"
DAY_MS = 24 * 3_600_000

LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: KafkaSettings = Field(default_factory=KafkaSettings, description="How to reach Kafka")
    topics: TopicNames = Field(default_factory=TopicNames, description="How topics are called")
    http: HttpSettings = Field(default_factory=HttpSettings, description="Dashboard and HTTP API")
    data_dir: Path = Field(default=Path(".saga"), description="Where databases live")
    store: StoreAddress | None = Field(
        default=None,
        description="The orchestrator's store: a file, or postgresql://…; default: orchestrator.db in data_dir",
    )
    store_schema: SchemaName = Field(default=DEFAULT_SCHEMA, description="The schema of a PostgreSQL store's tables")
    replica: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="This orchestrator's name among those on one PostgreSQL store; default: the host's",
    )
    worker: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="This process's name among a service's workers on PostgreSQL; default: the host's",
    )
    service_database: StoreAddress | None = Field(
        default=None, description="A participant's database: a file, or postgresql://…; default: NAME.db in data_dir"
    )
    service_databases: dict[str, StoreAddress] = Field(
        default={}, description="The databases of services by name, where they are not NAME.db in data_dir"
    )
    app: tuple[str, ...] = Field(
        default=("kafka_saga.orchestrator.sagas.order",), description="Modules with saga definitions"
    )
    participants: tuple[str, ...] = Field(
        default=(),
        description="What `saga up` runs and `saga check` checks, `module:object`; default: shipped ones that are used",
    )
    active: dict[str, int] = Field(
        default={}, description="The version that starts new sagas, by type; default: the newest"
    )
    group: str | None = Field(
        default=None, description="Consumer group of the orchestrator; default: <prefix>orchestrator"
    )
    in_flight_max: int = Field(default=IN_FLIGHT_MAX, ge=1, le=1_000_000, description="Sagas that run at once")
    partitions: int = Field(default=4, ge=1, le=1_000, description="Partitions of topics that are created")
    create_topics: bool = Field(default=True, description="Create missing topics at the start")
    park_missing: bool = Field(
        default=False, description="Park sagas whose version no code has, instead of refusing to start"
    )
    retention_days: int = Field(
        default=SAGA_RETENTION_MS // DAY_MS,
        ge=0,
        le=36_500,
        description="How long finished sagas are kept; 0: for ever",
    )
    purged_retention_days: int = Field(
        default=PURGED_RETENTION_MS // DAY_MS,
        ge=0,
        le=36_500,
        description="How long purged sagas' ids are remembered, at least as long as requests are kept; 0: for ever",
    )
    fence_retention_days: int = Field(
        default=FENCE_RETENTION_MS // DAY_MS, ge=1, le=3_650, description="How long participants remember what they did"
    )
    handler_timeout_ms: int = Field(
        default=HANDLER_TIMEOUT_MS,
        ge=1,
        le=HANDLER_TIMEOUT_MS_MAX,
        description="How long a participant's handler may take that says nothing else",
    )
    broker_wait_ms: int | None = Field(
        default=None,
        ge=0,
        description="How long a starting process waits for Kafka; 0: not at all; default: until it comes",
    )
    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Where a process serves /livez, /readyz and /metrics; 0: any free port; default: nowhere",
    )
    admin_host: str = Field(default=LOOPBACK, description="The address that port is bound to; 0.0.0.0 in a container")
    log_level: LogLevel = Field(default="info", description="What is logged")
    log_format: LogFormat = Field(default="auto", description="json, text, or auto (text on a terminal)")

    @field_validator("app", "participants", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _listed(value)

    @property
    def admin_at(self) -> AdminPort:
        """Where a process shows its health and its metrics."""
        return AdminPort(self.admin_port, self.admin_host, self.data_dir)

    @property
    def store_at(self) -> StoreLocation:
        """Where the orchestrator's store is."""
        at = self.store or self.data_dir / "orchestrator.db"
        return at if isinstance(at, Path) else PostgresLocation(at, self.store_schema)

    @property
    def replica_name(self) -> str:
        """What this orchestrator is called, the same after each restart."""
        return self.replica or node()

    @property
    def group_name(self) -> str:
        """The orchestrator's consumer group."""
        return self.group or f"{self.topics.prefix}orchestrator"

    def database(self, service: str) -> Path:
        """A participant's file, where nobody names another database."""
        return self.data_dir / f"{service}.db"

    def database_of(self, service: str) -> Path | PostgresUrl:
        """A participant's database."""
        return self.service_databases.get(service) or self.database(service)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each one that is not a default comes from."""

    settings: Settings
    sources: Mapping[str, str]
    kafka_configured: bool = True
    """Whether somebody named a Kafka; the embedded broker of a `saga up` and the default do not count."""


def load_settings(*, flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> Loaded:
    """Merge file, environment and flags.

    Args:
        flags: dotted names and values; None is "not given".
        environment: the process's variables; an empty one counts as not set.
        file: a TOML file; without one `saga.toml` is read where it exists, or the one `SAGA_CONFIG` names.

    Raises:
        ConfigError: a setting is unknown or wrong; the message names it and its source.

    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers = (_weakest_layer(environment), _file_layer(environment, file), _environment_layer(environment))
    for source, layer in chain.from_iterable(layers):
        _merge(values, sources, layer, source)
    given = {name: value for name, value in flags.items() if value is not None}
    for name, value in given.items():
        _merge(values, sources, {name: value}, _FLAGS.get(name) or f"--{_flag(name)}")
    _merge_remembered(values, sources)
    try:
        settings = Settings.model_validate(_nested(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        source = next((sources[key] for key in sources if _within(name, key) or _within(key, name)), "settings")
        why = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: {name}: {why}") from error
    if BOOTSTRAP_SERVERS in values:
        return Loaded(settings, sources)
    return _with_embedded(settings, sources)


def _with_embedded(settings: Settings, sources: dict[str, str]) -> Loaded:
    """Where nobody named a Kafka: the embedded broker of a `saga up` in the same data directory, if there is one."""
    note = read_broker_file(settings.data_dir)
    if note is None:
        return Loaded(settings, sources, kafka_configured=False)
    kind = KafkaSettings if note.is_held else DepartedBroker
    kafka = kind.model_validate({**settings.kafka.model_dump(), "bootstrap_servers": note.address})
    sources[BOOTSTRAP_SERVERS] = str(note.path) if note.is_held else f"{note.path} (of a `saga up` that is gone)"
    return Loaded(settings.model_copy(update={"kafka": kafka}), sources, kafka_configured=False)


def describe(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every setting: its dotted name, value, and what it is for."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from describe(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.description or ""


@cache
def setting_names() -> frozenset[str]:
    """The dotted name of every setting."""
    return frozenset(name for name, _value, _purpose in describe(Settings()))


def meant(name: str) -> str | None:
    """The setting that somebody who wrote `name` may have meant: a typo, or the section was left out."""
    close = get_close_matches(name, sorted(setting_names()), n=1, cutoff=_TYPO_CUTOFF)
    return next(iter(close), next((known for known in setting_names() if known.endswith(f".{name}")), None))


def unknown_setting(name: str) -> str:
    """What is said of a setting that does not exist."""
    close = meant(name)
    advice = f"did you mean '{close}'?" if close else "`saga config show` lists all"
    return f"there is no setting '{name}': {advice}"


def _is_setting(name: str) -> bool:
    return name in setting_names() or any(_within(name, mapping) for mapping in _MAPPINGS)


def _within(name: str, section: str) -> bool:
    return name == section or name.startswith(f"{section}.")


def _file_layer(environment: Mapping[str, str], file: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    named = file or (Path(environment["SAGA_CONFIG"]) if environment.get("SAGA_CONFIG") else None)
    path = named or DEFAULT_FILE
    document = read_config_file(path)
    if document is None:
        if named is not None:
            raise ConfigError(f"cannot read {path}: there is no such file")
        return
    layer = _flat(document)
    for name in layer:
        if any(_within(known, name) and known != name for known in setting_names()):
            raise ConfigError(f"{path}: '{name}' is a table of settings: write [{name}], and its settings below that")
        if not _is_setting(name):
            raise ConfigError(f"{path}: {unknown_setting(name)}")
    yield str(path), {name: _value(name, value) if isinstance(value, str) else value for name, value in layer.items()}


def _weakest_layer(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What platforms set for whatever runs on them: it counts where nobody says otherwise, and only if we know it."""
    url = _DRIVER.sub(r"\1://", environment.get(DATABASE_URL, "").strip())
    if is_postgres_url(url):
        yield DATABASE_URL, {"store": url}


def _environment_layer(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for variable, name in _PLAIN_NAMES.items():
        if environment.get(variable):
            yield variable, {name: environment[variable]}
    for variable, text in environment.items():
        name = _setting_of(variable)
        if text and name in _IN_FILES:
            yield variable, {_IN_FILES[name]: f"{IN_FILE}{text}"}
        elif text and _is_setting(name):
            yield variable, {name: _value(name, text)}


def _setting_of(variable: str) -> str:
    """The setting that a variable would set; "" for one that is not ours to read."""
    if not variable.startswith(ENV_PREFIX) or variable.startswith(_OTHER_PREFIXES):
        return ""
    return variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")


def variable_of(name: str) -> str:
    """The variable that sets a setting."""
    return ENV_PREFIX + name.upper().replace(".", "__")


def remarks(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables that are one slip away from one of ours. Those of other programs are none of our business."""
    for variable in environment:
        name = _setting_of(variable)
        if name and name not in _IN_FILES and not _is_setting(name) and (close := meant(name)):
            yield f"the variable {variable} is no setting and is ignored: did you mean {variable_of(close)}?"


def _value(name: str, text: str) -> Any:
    if name in _MAPPINGS:
        return dict(part.split("=", 1) for part in _COMMA.split(text) if "=" in part)
    return text


def _flag(name: str) -> str:
    """What a setting's flag is called: times have their unit in the value there."""
    return name.rsplit(".", 1)[-1].removesuffix("_ms").replace("_", "-")


def _merge(values: dict[str, Any], sources: dict[str, str], layer: Mapping[str, Any], source: str) -> None:
    for name, value in layer.items():
        values[name] = value
        sources[name] = source


def _merge_remembered(values: dict[str, Any], sources: dict[str, str]) -> None:
    """What `saga up` was last told, where nobody says otherwise; none of it, where it was about other sagas."""
    path, document = recall(Path(str(values.get("data_dir", Settings.model_fields["data_dir"].default))))
    told = _flat(document)
    if "app" in values and _listed(values["app"]) != _listed(told.get("app")):
        return
    _merge(values, sources, {name: told[name] for name in REMEMBERED if name in told and name not in values}, str(path))


def _listed(value: Any) -> Any:
    """A list as it is; one that was written as text, with commas between."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    return tuple(value) if isinstance(value, list | tuple) else value


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict) and name not in _MAPPINGS:
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return nested
