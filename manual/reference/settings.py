"""Every setting: its type, default, variable, and what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kafka_saga.orchestrator.config import Settings, variable_of
from manual.reference.tables import code, table

HEAD = """# Settings

A setting comes from its default, then `saga.toml`, then its variable, then its flag; the last one given holds.
`saga config show` lists all of them with the value that holds and where it comes from. The rules (the file, empty and
unknown variables, `KAFKA_BOOTSTRAP_SERVERS`, `DATABASE_URL`) are in
[operating](../operating.md#settings-and-variables).

In `saga.toml` the part before the dot is a table: `kafka.bootstrap_servers` is `bootstrap_servers` below `[kafka]`.

"""


def page() -> str:
    """The page."""
    rows = [
        (code(name), f"{field.description or ''}{bounds(field)}", code(default(field)), code(variable_of(name)))
        for name, field in every_field(Settings)
    ]
    return HEAD + table(["setting", "what for", "default", "variable"], rows)


def every_field(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting's dotted name and field, in the order of the models."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from every_field(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def default(field: FieldInfo) -> str:
    """The default as it would be written; empty where there is none."""
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value.value if isinstance(value, Enum) else value)


def bounds(field: FieldInfo) -> str:
    """What numbers are allowed, in words."""
    low = next((one.ge for one in field.metadata if hasattr(one, "ge")), None)
    high = next((one.le for one in field.metadata if hasattr(one, "le")), None)
    if low is None and high is None:
        return ""
    if high is None:
        return f" ({low} or more)"
    return f" ({low} to {high:,})"
