"""Parameters of SQL statements: what SQLite does not take itself is written as text, or refused by name.

Nothing here is on the way of an ordinary statement. Classes of the standard library are known to `sqlite3` by its own
adapters; all else it refuses first, and only then it is looked at.

| parameter                                        | stands in the database as                                |
|--------------------------------------------------|----------------------------------------------------------|
| None, int, float, str, bytes                     | itself; bool as 0 or 1                                   |
| UUID, Decimal, Path, pydantic's URLs             | `str(value)`                                             |
| date, time, datetime                             | ISO 8601, `2026-11-29T10:00:00+00:00`: in order as text  |
| Enum                                             | its value, by these rules                                |
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID  # noqa: TID251 -- the class; no id is drawn

from pydantic import AnyUrl, BaseModel, SecretBytes, SecretStr

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.wording import with_article

Params = Sequence[Any] | Mapping[str, Any]
"""The values of a statement's parameters: a tuple or a list for `?`, a dict for `:name`."""

_AS_TEXT: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (UUID, str),
    (Decimal, str),
    (datetime, datetime.isoformat),
    (date, date.isoformat),
    (time, time.isoformat),
    (PurePath, str),
    (AnyUrl, str),
)
"""The first class that fits counts: a datetime is a date."""

_REMEDIES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((SecretStr, SecretBytes), "if it is to be stored, pass its `.get_secret_value()`"),
    (timedelta, "pass its `.total_seconds()`"),
    (BaseModel, "pass its fields, or its `.model_dump_json()`"),
    ((dict, list, tuple, set, frozenset), "pass it as JSON text, or each of its values"),
    (int, "SQLite's integers have 64 bits: pass it as text"),
)
_BINDING_ERRORS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError)
"""What `sqlite3` says of parameters that it cannot bind, before it runs anything."""

_REMEDY = "pass it as text, a number or bytes"

_INTEGERS = range(-(2**63), 2**63)


def register_adapters() -> None:
    """Teach `sqlite3` the standard library's classes, but for those that the program has adapters of its own for.

    Its default adapters write a datetime with a blank instead of the `T`, and are deprecated.
    """
    for kind, written in _AS_TEXT[:5]:
        known = sqlite3.adapters.get((kind, sqlite3.PrepareProtocol))
        if known is None or getattr(known, "__module__", "") == "sqlite3.dbapi2":
            sqlite3.register_adapter(kind, written)


def check_params(params: Params) -> None:
    """Refuse a lone value where parameters stand.

    Raises:
        UsageError: it is neither a sequence of values nor a mapping.

    """
    if isinstance(params, str | bytes) or not isinstance(params, Sequence | Mapping):
        raise UsageError(
            f"parameters stand in a tuple, a list or a dict, not in {with_article(_name(params))}: write `(value,)`"
        )


def taken(params: Params, error: Exception) -> Params | None:
    """`params`, which a statement failed with, so that they are taken; None where they are not what was wrong.

    Raises:
        UsageError: one of them is of a type that is not taken; its name and type are told, never its value (I24).

    """
    if not isinstance(error, _BINDING_ERRORS):
        return None
    check_params(params)
    if all(_is_plain(value) for _, value in _named(params)):
        return None
    if isinstance(params, Mapping):
        return {name: _converted(f":{name}", value) for name, value in params.items()}
    return tuple(_converted(name, value) for name, value in _named(params))


def _named(params: Params) -> Iterator[tuple[str, Any]]:
    if isinstance(params, Mapping):
        return ((f":{name}", value) for name, value in params.items())
    return ((str(number), value) for number, value in enumerate(params, 1))


def _is_plain(value: object) -> bool:
    if isinstance(value, int):
        return value in _INTEGERS
    return value is None or isinstance(value, str | float | bytes | bytearray | memoryview)


def _converted(name: str, value: Any) -> Any:
    if _is_plain(value):
        return value
    if isinstance(value, Enum):
        return _converted(name, value.value)
    text = as_text(value)
    if text is not value:
        return text
    remedy = next((text for kinds, text in _REMEDIES if isinstance(value, kinds)), _REMEDY)
    raise UsageError(f"parameter {name} is of type {_name(value)}, which SQL does not take: {remedy}")


def as_text(value: Any) -> Any:
    """What stands for `value` in a column of text, by the table above; itself where nothing does."""
    if isinstance(value, Enum):
        return as_text(value.value)
    return next((text(value) for kind, text in _AS_TEXT if isinstance(value, kind)), value)


def _name(value: object) -> str:
    return type(value).__name__
