"""Going on with a coroutine that was run by hand up to where it waits.

A handler's statements run inline, so most handlers never wait for anything. Running one with `send(None)` finds out;
a timer, which costs more than a statement, is for those that do wait.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


@coroutine
def go_on(running: Coroutine[Any, Any, _T], waits_for: Any) -> Generator[Any, Any, _T]:
    """Await `running` in the task that began it; `waits_for` is what its `send(None)` returned."""
    try:
        while True:
            try:
                answer = yield waits_for
            except BaseException as error:  # noqa: BLE001 -- what is thrown in (a cancellation) is the coroutine's to handle
                waits_for = running.throw(error)
            else:
                waits_for = running.send(answer)
    except StopIteration as returned:
        value: _T = returned.value
        return value
