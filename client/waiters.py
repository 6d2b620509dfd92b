"""Who waits for the end of which saga."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kafka_saga.client.ends import End
from kafka_saga.runtime.errors import RefusedError
from kafka_saga.runtime.limits import CLIENT_WAITERS_MAX
from kafka_saga.schemas.ids import SagaRef


@dataclass(eq=False, slots=True)
class Waiter:
    """One who waits for one saga.

    Attributes:
        future: the saga's end, or why there is none.
        request: what was just asked for, where it was: its refusal is an answer, and another's is none.
        asked_at_ms: when it was.
        last_event: what the saga was last seen to say.
        was_sent: whether the brokers have the request.

    """

    future: asyncio.Future[End]
    request: bytes | None = None
    asked_at_ms: int = 0
    last_event: str | None = None
    was_sent: bool = False

    def answer(self, end: End) -> None:
        """The saga ended."""
        if not self.future.done():
            self.future.set_result(end)

    def fail(self, error: BaseException) -> None:
        """There will be no answer."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True)
class Waiters:
    """Everybody who waits."""

    _of: dict[SagaRef, list[Waiter]] = field(default_factory=dict)
    count: int = 0

    @contextmanager
    def waiting(self, ref: SagaRef, *, request: bytes | None, asked_at_ms: int) -> Iterator[Waiter]:
        """Wait for a saga, until the block is left.

        Raises:
            RefusedError: too many wait.

        """
        if self.count >= CLIENT_WAITERS_MAX:
            raise RefusedError(
                f"{self.count:,} wait for outcomes already, no more can: ask later, or read them all by events()"
            )
        waiter = Waiter(asyncio.get_running_loop().create_future(), request, asked_at_ms)
        self._of.setdefault(ref, []).append(waiter)
        self.count += 1
        try:
            yield waiter
        finally:
            self.count -= 1
            others = self._of[ref]
            others.remove(waiter)
            if not others:
                del self._of[ref]
            if waiter.future.done() and not waiter.future.cancelled():
                waiter.future.exception()  # seen: who was cancelled does not look

    def of(self, ref: SagaRef) -> list[Waiter]:
        """Those who wait for a saga."""
        return self._of.get(ref, [])

    def fail(self, error: BaseException) -> None:
        """Nobody will be answered."""
        for waiters in self._of.values():
            for waiter in waiters:
                waiter.fail(error)
