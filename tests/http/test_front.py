"""What is answered on the port before the store is open, and after the process was told to stop, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from fastapi.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kafka_saga.orchestrator.http import front as front_module
from kafka_saga.orchestrator.http.front import Front
from kafka_saga.orchestrator.http.server import listen, serving
from kafka_saga.orchestrator.http.settings import Address
from kafka_saga.runtime.admin import Admin
from kafka_saga.runtime.health import Health
from kafka_saga.runtime.metrics import Metrics
from kafka_saga.runtime.serving import url_of


@dataclass
class Port:
    """A front on a real port, and whoever asks there."""

    front: Front
    stopping: asyncio.Event
    health: Health
    client: httpx.AsyncClient

    async def asked(self, path: str) -> tuple[int, str]:
        """The status, and the problem's code where it is one."""
        answer = await self.client.get(path)
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        return answer.status_code, answer.json()["code"] if is_problem else ""


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    async with opened() as found:
        yield found


@asynccontextmanager
async def opened() -> AsyncIterator[Port]:
    stopping = asyncio.Event()
    health = Health("orchestrator", stopping)
    front = Front(Admin(health, Metrics(lambda: 0.0)), stopping)
    listening = listen(Address("127.0.0.1", 0))
    async with (
        serving(front, listening),
        httpx.AsyncClient(base_url=url_of(listening), timeout=60) as client,
    ):
        yield Port(front, stopping, health, client)


def app_of(health: Health) -> ASGIApp:
    """The application, which serves health, too."""
    admin = Admin(health, Metrics(lambda: 0.0))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answering = admin if scope["path"] in {"/livez", "/readyz", "/metrics"} else Response("a page")
        await answering(scope, receive, send)

    return app


async def test_before_there_is_a_store_it_says_that_it_starts(port: Port) -> None:
    assert await port.asked("/api/v1/sagas") == (503, "starting")
    assert await port.asked("/") == (503, "starting")
    assert await port.asked("/livez") == (200, "")
    assert await port.asked("/readyz") == (503, "")

    port.health.started()
    port.front.open(app_of(port.health))

    assert await port.asked("/") == (200, "")
    assert await port.asked("/readyz") == (200, "")


async def test_once_it_is_told_to_stop_it_answers_503_until_the_end_and_lives(port: Port) -> None:
    port.health.started()
    port.front.open(app_of(port.health))
    port.stopping.set()

    async def drained() -> None:
        assert await port.asked("/api/v1/sagas") == (503, "stopping")
        assert await port.asked("/sagas/order") == (503, "stopping")
        assert await port.asked("/readyz") == (503, "")
        assert await port.asked("/livez") == (200, "")

    await drained()
    assert await port.asked("/metrics") == (200, "")
    await port.front.close(asyncio.Event())
    await drained()
    refused = await port.client.get("/api/v1/sagas")
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    assert refused.headers["x-content-type-options"] == "nosniff"


async def test_what_is_in_hand_is_finished_and_streams_hear_of_the_end(port: Port) -> None:
    ending, begun = asyncio.Event(), asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            begun.set()
            await ending.wait()
            yield "last\n"

        await StreamingResponse(lines())(scope, receive, send)

    port.front.open(stream)
    reading = asyncio.create_task(port.client.get("/events"))
    await begun.wait()
    port.stopping.set()
    assert await port.asked("/events") == (503, "stopping")
    assert not reading.done()

    await port.front.close(ending)

    assert (await reading).text == "first\nlast\n"


async def test_what_does_not_end_holds_up_nobody_for_ever(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "HTTP_STOP_TIMEOUT_MS", 50)
    begun, never = asyncio.Event(), asyncio.Event()

    async def stuck(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        await never.wait()

    port.front.open(stuck)
    reading = asyncio.create_task(port.client.get("/"))
    await begun.wait()

    await port.front.close(asyncio.Event())

    assert await port.asked("/") == (503, "stopping")
    reading.cancel()
    never.set()
