"""The server in our own loop: it takes its port first, tells where it is, and ends with streams open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.responses import PlainTextResponse

from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.http.server import listen, serving
from kafka_saga.orchestrator.http.settings import Address, read_listen_address
from kafka_saga.runtime.errors import ConfigError, RefusedError
from kafka_saga.runtime.serving import url_of

ANN = LocalSecurity("ann@desk")
ANY_PORT = Address("127.0.0.1", 0)


def greeting(app: FastAPI) -> None:
    @app.get("/hello")
    async def hello(actor: Annotated[Actor, needs(Role.READER)]) -> str:
        return f"hello {actor.name}"

    @app.post("/change", dependencies=[needs(Role.OPERATOR)])
    async def change() -> str:
        return "changed"

    @app.get("/stream", dependencies=[needs(Role.READER)])
    async def stream(desk: TheDesk) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            await desk.ending.wait()
            yield "last\n"

        return StreamingResponse(lines())


async def test_it_serves_on_the_port_it_took_and_lets_it_go(desk: Desk) -> None:
    listening = listen(ANY_PORT)
    url = url_of(listening)
    async with (
        serving(create_app(desk, security=ANN, pages=greeting), listening, ending=desk.ending),
        httpx.AsyncClient() as client,
    ):
        assert (await client.get(f"{url}/hello")).json() == "hello ann@desk"

    listen(read_listen_address(url.removeprefix("http://"))).close()


async def test_a_stream_that_is_open_hears_of_the_end_and_does_not_hold_it_up(desk: Desk) -> None:
    listening = listen(ANY_PORT)
    read: list[str] = []
    heard = asyncio.Event()

    async def follow() -> None:
        async with httpx.AsyncClient() as client, client.stream("GET", f"{url_of(listening)}/stream") as response:
            async for line in response.aiter_lines():
                read.append(line)
                heard.set()

    async with serving(create_app(desk, security=ANN, pages=greeting), listening, ending=desk.ending):
        following = asyncio.create_task(follow())
        await asyncio.wait_for(heard.wait(), 30)
    await following

    assert read == ["first", "last"]


def test_a_port_that_somebody_has_is_refused_with_what_helps() -> None:
    with listen(ANY_PORT) as listening:
        taken = read_listen_address(url_of(listening).removeprefix("http://"))
        with pytest.raises(RefusedError, match="in use; choose another --http"):
            listen(taken)


async def test_a_route_that_does_not_say_who_may_use_it_is_refused_at_the_start(desk: Desk) -> None:
    def forgetful(app: FastAPI) -> None:
        app.get("/secrets")(lambda: "all of them")

    with pytest.raises(AssertionError, match="/secrets"):
        create_app(desk, security=ANN, pages=forgetful)


async def test_what_changes_something_is_refused_where_everything_is_only_shown(desk: Desk) -> None:
    app = create_app(replace(desk, may_write=False), security=ANN, pages=greeting)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://saga") as client:
        assert (await client.get("/hello")).status_code == 200
        refused = await client.post("/change")

    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "forbidden"


async def test_whoever_answers_for_health_is_asked_on_the_same_port(desk: Desk) -> None:
    app = create_app(desk, security=ANN, admin=PlainTextResponse("alive"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://saga") as client:
        answers = [(await client.get(path)).text for path in ("/livez", "/readyz", "/metrics")]

    assert answers == ["alive"] * 3


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        (":0", Address("127.0.0.1", 0)),
        ("8080", Address("127.0.0.1", 8080)),
        ("[::1]:8080", Address("::1", 8080)),
        ("localhost:8080", Address("localhost", 8080)),
    ],
)
def test_an_address_may_leave_out_its_host(told: str, read: Address) -> None:
    assert read_listen_address(told) == read
    assert read_listen_address(str(read)) == read
    assert read.is_loopback


@pytest.mark.parametrize("told", ["", "localhost", "127.0.0.1:99999", "127.0.0.1:http", "1.2.3.4:²"])
def test_what_is_no_address_is_refused(told: str) -> None:
    with pytest.raises(ConfigError, match="no address to listen on"):
        read_listen_address(told)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "saga.example.com"])
def test_what_other_machines_reach_is_no_loopback(host: str) -> None:
    assert not Address(host, 80).is_loopback
