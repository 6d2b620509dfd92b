"""What a change added to a saga's data, took away or made different: one line a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.saga import Saga, replies_of

DIFFERENCES_MAX = 12
"""More fields than a person compares; the whole is in the message and in the JSON."""

_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: `+` was added, `-` was taken away, `~` became another; with the value as it is now."""

    sign: Literal["+", "-", "~"]
    path: str
    value: Any
    before: Any = None


def data_differences(definition: Definition | None, before: Saga | None, after: Saga | None) -> list[Difference]:
    """What a transition did to the replies; the request never changes. Nothing where it cannot be told."""
    if definition is None or before is None or after is None:
        return []
    return list(differences(replies_of(definition, before.steps), replies_of(definition, after.steps)))


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """The fields that are not the same; objects are looked into, lists are compared whole."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            deeper = f"{path}.{name}" if path else str(name)
            yield from differences(before.get(name, _MISSING), after.get(name, _MISSING), deeper)
    elif before is _MISSING and isinstance(after, Mapping) and after:
        for name, value in after.items():
            yield from differences(_MISSING, value, f"{path}.{name}" if path else str(name))
    elif after is _MISSING:
        yield Difference("-", path, None, before)
    elif before is _MISSING:
        yield Difference("+", path, after)
    else:
        yield Difference("~", path, after, before)
