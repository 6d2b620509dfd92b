"""What a version of a saga means (R30): its description, the fingerprint of it, and what differs between two.

A field function is known by what it is called in the step, not by the module it lies in: moving it changes nothing.
What it does cannot be compared; change its name, or the version, when that changes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka_saga.orchestrator.sources import FieldSource, Source
from kafka_saga.schemas.codec import decode_trusted

_SHOWN_MAX = 5
"""Differences of one definition that are told: more of them do not help to see what happened."""


def fingerprint(description: str) -> str:
    """SHA-256 of a description: what a store compares."""
    return hashlib.sha256(description.encode()).hexdigest()


def text(source: FieldSource) -> str:
    """A source as it is called in the step."""
    return str(source) if isinstance(source, Source) else f"function {_called(source)}"


def text_with_module(source: FieldSource) -> str:
    """A source as it was known before: a function with the module it lies in."""
    if isinstance(source, Source):
        return str(source)
    named: Any = source if hasattr(source, "__qualname__") else type(source)
    return f"function {named.__module__}.{named.__qualname__}"


def differences(before: str, now: str) -> str:
    """What differs between two descriptions of one version, in words."""
    found = list(_differences(decode_trusted(before), decode_trusted(now)))
    more = f"; and {len(found) - _SHOWN_MAX} more" if len(found) > _SHOWN_MAX else ""
    return "; ".join(found[:_SHOWN_MAX]) + more


def _called(function: Any) -> str:
    if isinstance(function, functools.partial):
        return f"partial({_called(function.func)})"
    # An object that can be called has no name of its own: its class's must do.
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(named.__qualname__).rpartition("<locals>.")[2]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    yield from _changed("the ", before, now, ("request", "id_from"))
    was, is_now = ([step["name"] for step in described["steps"]] for described in (before, now))
    for name in was:
        if name not in is_now:
            yield f"step '{name}' is gone"
    for name in is_now:
        if name not in was:
            yield f"step '{name}' is new"
    if sorted(was) == sorted(is_now) and was != is_now:
        yield f"the steps were {', '.join(was)} and are {', '.join(is_now)}"
    now_by_name = {step["name"]: step for step in now["steps"]}
    for step in before["steps"]:
        if step["name"] in now_by_name:
            yield from _step_differences(step, now_by_name[step["name"]])


def _step_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    where = f"step '{before['name']}': "
    yield from _changed(where, before, now, ("service", "pivot", "nothing_to_undo", "reply"))
    for phase, kind in (("forward", "action"), ("compensate", "compensation")):
        was, is_now = before["commands"].get(phase), now["commands"].get(phase)
        if was is None or is_now is None:
            if was is not is_now:
                yield f"{where}its {kind} is {'new' if was is None else 'gone'}"
            continue
        yield from _changed(f"{where}its {kind}'s ", was, is_now, ("type",))
        fields = {**was["fields"], **is_now["fields"]}
        yield from _changed(f"{where}its {kind}'s field ", was["fields"], is_now["fields"], fields)


def _changed(where: str, before: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        was, is_now = before.get(name), now.get(name)
        if was != is_now:
            yield f"{where}{name} was {_or_nothing(was)} and is {_or_nothing(is_now)}"


def _or_nothing(value: Any) -> str:
    return "nothing" if value is None else str(value)
