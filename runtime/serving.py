"""uvicorn inside our own loop: it installs no signal handlers, says nothing of its own, and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from kafka_saga.runtime.errors import RefusedError

_BACKLOG = 128


def listen(host: str, port: int, otherwise: str) -> socket.socket:
    """Take the port, so that whoever cannot have it is told before anything else starts; 0 is any free one.

    Raises:
        RefusedError: somebody has it, or this host has no such address; `otherwise` says what to do.

    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        why = os.strerror(number) if number and number > 0 else str(error)  # below 0: names unknown
        raise RefusedError(f"cannot listen on {_place(host, port)}: {why}; {otherwise}") from error


def url_of(listening: socket.socket) -> str:
    """What a browser or a scraper is told: `http://127.0.0.1:9464`."""
    host, port = listening.getsockname()[:2]
    return f"http://{_place(host, port)}"


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.asynccontextmanager
async def serving(
    app: Any,
    listening: socket.socket,
    *,
    name: str,
    connections_max: int,
    stop_timeout_ms: int,
    ending: asyncio.Event | None = None,
    **options: Any,
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve while the block runs; the task ends early only where the server dies.

    Args:
        app: an ASGI application.
        listening: the port, taken already.
        name: the task's.
        connections_max: more are told to come later.
        stop_timeout_ms: how long what is open may go on when the block has ended, in milliseconds.
        ending: set when the block ends, before the server waits for what is open.
        options: more of uvicorn's.

    """
    import uvicorn  # noqa: PLC0415 -- 60 ms that only who serves something pays

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # the process has signal handlers of its own

    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        proxy_headers=False,  # whom a proxy speaks for is the gate's business: uvicorn would believe this whole machine
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=connections_max,
        timeout_graceful_shutdown=stop_timeout_ms // 1000,
        **options,
    )
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]), name=name)
    try:
        yield task
    finally:
        if ending is not None:
            ending.set()
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        listening.close()
