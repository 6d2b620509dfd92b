"""What is served over HTTP, put together: the desk, who may do what, the API, the pages, health."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from platform import node

from fastapi import FastAPI
from starlette.types import ASGIApp

from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.dashboard import add_to, attend
from kafka_saga.orchestrator.dashboard_file import noted
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import open_desk
from kafka_saga.orchestrator.http.front import Front
from kafka_saga.orchestrator.http.security.gate import Gate
from kafka_saga.orchestrator.http.security.guard import Guard, make_guard
from kafka_saga.orchestrator.http.security.settings import SecuritySettings
from kafka_saga.orchestrator.http.server import listen, serving
from kafka_saga.orchestrator.http.settings import Address
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.site import site_of
from kafka_saga.runtime.clock import Clock, new_id
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.serving import url_of
from kafka_saga.runtime.telemetry import log
from kafka_saga.runtime.user import this_user

_log = log("http")


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs.

    Attributes:
        url: where.
        task: ends early only where the server dies, with why.
        front: answers there.
        listening: the port.
        admin: answers for health and metrics.

    """

    url: str
    task: asyncio.Task[None]
    front: Front
    listening: socket.socket
    admin: ASGIApp

    async def outlive(self) -> None:
        """Wait until the server ends.

        Raises:
            Exception: what it died of.

        """
        await asyncio.wait({self.task})
        self.task.result()


def take_port(address: Address, access: SecuritySettings) -> socket.socket:
    """Take the port for the dashboard and the API.

    Raises:
        ConfigError: others could reach it, and nobody would be asked who they are; or a token is wrong.
        RefusedError: it is taken.

    """
    if not address.is_loopback and not access.is_guarded:
        raise ConfigError(
            f"{address} can be reached from other machines: set SAGA_HTTP__OPERATOR_TOKEN (or …_FILE, or a reader's), "
            f"name a proxy that knows its users in SAGA_HTTP__TRUSTED_PROXIES, or listen on 127.0.0.1:{address.port}"
        )
    access.tokens()  # what is wrong with them is said before anything else starts
    return listen(address)


def guard_of(access: SecuritySettings, listening: socket.socket, clock: Clock) -> Guard:
    """Who may do what on a port that was taken.

    Raises:
        ConfigError: a token is wrong.

    """
    host, port = listening.getsockname()[:2]
    return make_guard(
        access,
        loopback=Address(str(host), int(port)).is_loopback,
        host_name=node(),
        user=this_user(),
        clock=clock,
        new_secret=new_id,
    )


@asynccontextmanager
async def open_front(listening: socket.socket, admin: ASGIApp, stopping: asyncio.Event) -> AsyncIterator[Served]:
    """Answer on the port while the block runs: until `open_web`, and after it, with 503 and the health of the process.

    Args:
        listening: the port.
        admin: answers for health and metrics.
        stopping: set once the process was told to stop.

    """
    front = Front(admin, stopping)
    async with serving(front, listening) as task:
        yield Served(url_of(listening), task, front, listening, admin)


@asynccontextmanager
async def open_web(settings: Settings, registry: Registry, served: Served, clock: Clock) -> AsyncIterator[None]:
    """Serve dashboard and API, too, while the block runs."""
    async with open_desk(
        store_at=settings.store_at,
        registry=registry,
        kafka=settings.kafka,
        topics=settings.topics,
        group=settings.group_name,
        clock=clock,
        new_id=new_id,
        may_write=not settings.http.read_only,
        site=site_of(settings, registry),
        in_flight_max=settings.in_flight_max,
    ) as desk:
        guard = guard_of(settings.http, served.listening, clock)
        app = create_app(desk, security=guard, pages=add_to, admin=served.admin)
        served.front.open(Gate(app, guard))
        try:
            _log.info("http.ready", url=served.url, read_only=settings.http.read_only)
            async with _attended(app):
                with noted(settings.data_dir, served.url):
                    yield
        finally:
            await served.front.close(desk.ending)


@asynccontextmanager
async def _attended(app: FastAPI) -> AsyncIterator[None]:
    """The dashboard does what it does by itself while the block runs; what that failed with is told at its end."""
    task = asyncio.create_task(attend(app), name="dashboard")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
