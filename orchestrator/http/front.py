"""What listens on the port from the process's start to its end, whether anybody is behind it or not.

Balancers, probes and people are answered while the store is opened, and while what is in hand is finished: a refused
connection says nothing, and a program that gets one does not know whether to come back.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from kafka_saga.orchestrator.http.problems import problem
from kafka_saga.orchestrator.http.security.answers import with_headers
from kafka_saga.orchestrator.http.security.gate import METRICS, PROBES
from kafka_saga.runtime.limits import HTTP_STOP_TIMEOUT_MS


class Front:
    """An ASGI application before another one, which comes later and goes earlier.

    Args:
        admin: answers probes as long as the other is not there.
        stopping: set once the process was told to stop: then probes and metrics are answered, and nothing else.

    """

    def __init__(self, admin: ASGIApp, stopping: asyncio.Event) -> None:
        self._admin = admin
        self._stopping = stopping
        self._app: ASGIApp | None = None
        self._had_one = False
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def open(self, app: ASGIApp) -> None:
        """Let `app` answer from now on."""
        self._app, self._had_one = app, True

    async def close(self, ending: asyncio.Event) -> None:
        """Let it answer nothing new, and wait for HTTP_STOP_TIMEOUT_MS at most until it has answered what it has.

        `ending` is set first: it ends streams.
        """
        self._app = None
        ending.set()
        waiting = asyncio.ensure_future(self._idle.wait())
        await asyncio.wait({waiting}, timeout=HTTP_STOP_TIMEOUT_MS / 1000)
        waiting.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            return
        app, path = self._app, scope["path"]
        if app is None and path in PROBES:
            await self._admin({**scope, "query_string": b""}, receive, send)  # `?verbose` is for who may read
        elif app is None or (self._stopping.is_set() and path not in PROBES | {METRICS}):
            await self._unavailable()(scope, receive, send)
        else:
            await self._let_in(app, scope, receive, send)

    async def _let_in(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._in_hand += 1
        self._idle.clear()
        try:
            await app(scope, receive, send)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._idle.set()

    def _unavailable(self) -> ASGIApp:
        if self._stopping.is_set() or self._had_one:
            code, detail = "stopping", "this server was told to stop, and finishes what it has in hand: ask another one"
        else:
            code, detail = "starting", "this server opens its store: ask again in a moment"
        response = problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail)
        response.raw_headers = [*with_headers(response.raw_headers), (b"connection", b"close")]
        return response
