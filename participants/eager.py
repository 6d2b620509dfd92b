"""Going on with a coroutine that was run by hand up to where it waits.

A handler's statements run inline, so most handlers never wait for anything. Running one with `send(None)` finds out;
a timer, which costs more than a statement, is for those that do wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class OwnCancels:
    """How often a coroutine has asked for the very task that runs it to be cancelled; its runner must outlive that."""

    __slots__ = ("_before", "_task", "count")

    def __init__(self) -> None:
        """Of the task that runs now, before the coroutine does."""
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._task = task
        self._before = task.cancelling()
        self.count = 0

    @property
    def from_outside(self) -> bool:
        """Whether somebody asks for it, once those of the coroutine's own are taken back."""
        return self._task.cancelling() > self._before

    def send(self, running: Coroutine[Any, Any, Any], answer: Any) -> Any:
        """Run it up to where it waits next, or to its end; nobody else runs meanwhile."""
        cancelling = self._task.cancelling
        before = cancelling()
        try:
            return running.send(answer)
        except GeneratorExit as error:  # nobody closes it here
            raise RuntimeError("the handler raised GeneratorExit") from error
        finally:
            if cancelling() > before:
                self._note(before)

    def throw(self, running: Coroutine[Any, Any, Any], error: BaseException) -> Any:
        """The same with an error where it waits."""
        before = self._task.cancelling()
        try:
            return running.throw(error)
        finally:
            self._note(before)

    async def take_back(self) -> bool:
        """Undo those that still stand; whether there were any.

        Raises:
            CancelledError: somebody else asked for it, too.

        """
        standing = min(self.count, self._task.cancelling() - self._before)
        if standing <= 0:
            return False
        with suppress(asyncio.CancelledError):  # the one that is taken back, where it is to be delivered yet
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes
        for _ in range(standing):
            self._task.uncancel()
        if self.from_outside:
            raise asyncio.CancelledError
        return True

    def _note(self, before: int) -> None:
        self.count += max(0, self._task.cancelling() - before)


@coroutine
def go_on(running: Coroutine[Any, Any, _T], waits_for: Any, cancels: OwnCancels) -> Generator[Any, Any, _T]:
    """Await `running` in the task that began it; `waits_for` is what its first `send` returned."""
    try:
        while True:
            try:
                answer = yield waits_for
            except BaseException as error:  # noqa: BLE001 -- what is thrown in (a cancellation) is the coroutine's to handle
                waits_for = cancels.throw(running, error)
            else:
                waits_for = cancels.send(running, answer)
    except StopIteration as returned:
        value: _T = returned.value
        return value


async def begun(running: Coroutine[Any, Any, _T], cancels: OwnCancels) -> _T:
    """The result of `running`, which nobody has begun."""
    try:
        waits_for = cancels.send(running, None)
    except StopIteration as returned:
        value: _T = returned.value
        return value
    return await go_on(running, waits_for, cancels)
