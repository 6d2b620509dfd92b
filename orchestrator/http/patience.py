"""How long a connection may dawdle. uvicorn waits for ever for the rest of a request's head, and for its reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import attrgetter

from uvicorn.protocols.http.h11_impl import H11Protocol

from kafka_saga.runtime.limits import HTTP_HEAD_TIMEOUT_MS, HTTP_READER_TIMEOUT_MS


class _Deadline:
    """Calls back once, unless it is stopped before."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        return self._timer is not None

    def start(self, loop: asyncio.AbstractEventLoop, after_ms: int, callback: Callable[[], None]) -> None:
        self.stop()
        self._timer = loop.call_later(after_ms / 1000, callback)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 whose requests' heads must come soon, and whose answers must be read.

    Bodies have their own time (`security.bodies`); a connection that was kept and is silent ends after uvicorn's.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._head, self._unread = _Deadline(), _Deadline()
        self._since = self.loop.time()
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._make_room()
        self._head.start(self.loop, HTTP_HEAD_TIMEOUT_MS, self.give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.stop()
        self._unread.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.answers:
            self._head.stop()
        elif not self._head.runs:  # the beginning of another request on the same connection
            self._head.start(self.loop, HTTP_HEAD_TIMEOUT_MS, self.give_up)

    def on_response_complete(self) -> None:
        self._head.stop()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.start(self.loop, HTTP_READER_TIMEOUT_MS, self.give_up)

    def resume_writing(self) -> None:
        self._unread.stop()
        super().resume_writing()

    @property
    def answers(self) -> bool:
        """Whether a request has come whole that is not answered whole."""
        cycle: object = self.cycle  # None before the first request, whatever its type says
        return cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> None:
        """Whoever holds a connection and asks for nothing makes room: strangers must not lock out those who ask."""
        others = (one for one in self.connections if isinstance(one, ImpatientProtocol) and one is not self)
        idle = [one for one in others if not one.answers and not one.transport.is_closing()]
        if idle:
            min(idle, key=attrgetter("_since")).give_up()

    def give_up(self) -> None:
        """End the connection at once."""
        self.transport.abort()
