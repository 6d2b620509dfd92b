"""What is told of an exception: its words and its stack, never the values that it met (I24).

Local variables are never shown, and of pydantic's complaints not the input that they are about. Nothing here raises:
what is wrong must not become worse by being told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from traceback import format_tb, walk_tb
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.runtime.limits import STACK_DEPTH_MAX, STACK_FRAMES_MAX, STACKS_REMEMBERED_MAX

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def complaints(error: ValidationError) -> str:
    """The first three complaints of pydantic in one line, without the input's values (I24)."""
    found = [
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def words_of(error: BaseException) -> str:
    """An exception's own words; "" where it has none."""
    try:
        words = f"{error.title}: {complaints(error)}" if isinstance(error, ValidationError) else str(error)
        return str.__str__(words)  # somebody else's kind of string may do anything when it is cut
    except BaseException as broken:  # somebody else's __str__
        if is_pressed(broken):
            raise
        return ""


def trace_of(error: BaseException) -> TracebackType | None:
    """Where it was raised, whatever its class makes of that."""
    trace: TracebackType | None = _TRACE.__get__(error)
    return trace


_TRACE: Any = BaseException.__dict__["__traceback__"]


def stack_of(error: BaseException) -> str:
    """An exception as Python prints it, with those that led to it and those inside it, but without any value."""
    try:
        return "".join(_told(error, STACK_DEPTH_MAX)).rstrip()
    except BaseException as broken:  # somebody else's kind of exception, down to its traceback and its notes
        if is_pressed(broken):
            raise
        return _class_name(error)


def frames_of(error: BaseException) -> str:
    """The same without its last words, for whoever says them in their own way."""
    return stack_of(error).removesuffix(_summary(error).rstrip()).rstrip()


class LoggedStacks:
    """Which stacks stand in the log already: a command that is sent again fails the same way again."""

    def __init__(self, remembered_max: int = STACKS_REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._logged: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def attempt(self, command_id: str, attempt: int, error: BaseException) -> int | None:
        """The earlier attempt at which this stack of this command was logged; None for a new one, noted for next time.

        The same is: raised as the same class, at the same lines. Messages may differ, they hold times and numbers.
        """
        shape = _shape(error)
        known = self._logged.pop(command_id, None)
        if known is not None and known[0] == shape:
            self._logged[command_id] = known
            return known[1]
        self._logged[command_id] = shape, attempt
        if len(self._logged) > self._remembered_max:
            self._logged.popitem(last=False)
        return None


def _shape(error: BaseException) -> int:
    lines = ((frame.f_code.co_filename, line) for frame, line in walk_tb(trace_of(error)))
    return hash((id(type(error)), *lines))


def _told(error: BaseException, depth: int) -> Iterator[str]:
    before, between = error.__cause__, _CAUSE
    if before is None and not error.__suppress_context__:
        before, between = error.__context__, _CONTEXT
    if before is not None and depth > 0:
        yield from _told(before, depth - 1)
        yield between
    if (trace := trace_of(error)) is not None:
        yield "Traceback (most recent call last):\n"
        yield from format_tb(trace, limit=-STACK_FRAMES_MAX)
    yield f"{_summary(error)}\n"
    for note in getattr(error, "__notes__", ()):
        yield f"{note}\n"
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        for inner in error.exceptions[:STACK_DEPTH_MAX]:
            yield "\nInside the group:\n\n"
            yield from _told(inner, depth - 1)


def _summary(error: BaseException) -> str:
    words = words_of(error)
    return f"{_class_name(error)}: {words}" if words else _class_name(error)


def _class_name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{name}"
