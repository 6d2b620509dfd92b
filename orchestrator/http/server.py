"""The port of the dashboard and the API, and the server on it: strangers may reach it, and streams stay open."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp

from kafka_saga.orchestrator.http.patience import ImpatientProtocol
from kafka_saga.orchestrator.http.settings import INHERITED, Address
from kafka_saga.runtime import serving as runtime_serving
from kafka_saga.runtime.limits import HEADERS_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_STOP_TIMEOUT_MS


def listen(address: Address) -> socket.socket:
    """Take the port, or the socket that we inherited.

    Raises:
        RefusedError: somebody has it, or this host has no such address.

    """
    if address.host == INHERITED:
        return socket.socket(fileno=address.port)
    return runtime_serving.listen(address.host, address.port, "choose another --http HOST:PORT")


def serving(
    app: ASGIApp, listening: socket.socket, *, ending: asyncio.Event | None = None
) -> AbstractAsyncContextManager[asyncio.Task[None]]:
    """As `runtime.serving`, for whoever may come: `ending` is set before the server waits for what is open."""
    return runtime_serving.serving(
        app,
        listening,
        name="http",
        connections_max=HTTP_CONNECTIONS_MAX,
        stop_timeout_ms=HTTP_STOP_TIMEOUT_MS,
        ending=ending,
        http=ImpatientProtocol,
        h11_max_incomplete_event_size=HEADERS_BYTES_MAX,
    )
