"""Connections that dawdle, on the real server; and headers of proxies that nobody trusts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kafka_saga.orchestrator.http import patience, server
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.gate import Gate
from kafka_saga.orchestrator.http.server import listen, serving
from kafka_saga.orchestrator.http.settings import Address
from kafka_saga.runtime.clock import SystemClock
from tests.http.guarded import GUARDED, guard_for


@asynccontextmanager
async def served(app: ASGIApp, desk: Desk) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of `app`."""
    listening = listen(Address("127.0.0.1", 0))
    async with serving(app, listening, ending=desk.ending):
        reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        yield reader, writer
        writer.close()


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("fine")(scope, receive, send)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_head_that_does_not_come_whole_ends_the_connection(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(patience, "HTTP_HEAD_TIMEOUT_MS", 100)
    async with served(fine, desk) as (reader, writer):
        writer.write(sent)
        try:
            answer = await asyncio.wait_for(reader.read(), 30)
        except ConnectionResetError:
            answer = b""

    assert answer.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


async def test_who_does_not_read_an_answer_is_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HTTP_READER_TIMEOUT_MS", 100)
    over = asyncio.Event()

    async def endless(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        listening = asyncio.ensure_future(receive())
        while not listening.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await SystemClock().sleep(0)
        over.set()

    async with served(endless, desk) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readexactly(12)
        await asyncio.wait_for(over.wait(), 30)


async def test_connections_that_ask_for_nothing_make_room_for_who_asks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger opens all that there are, and more: begun heads, and requests that were answered long ago."""
    monkeypatch.setattr(server, "HTTP_CONNECTIONS_MAX", 8)
    listening = listen(Address("127.0.0.1", 0))
    place, held = listening.getsockname()[:2], list[asyncio.StreamWriter]()
    request, begun = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\n"
    async with serving(fine, listening, ending=desk.ending):
        for number in range(30):
            reader, writer = await asyncio.open_connection(*place)
            held.append(writer)
            if number % 2:
                writer.write(request)
                assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n", number
            else:
                writer.write(begun)
        for writer in held:
            writer.close()


async def test_a_request_that_is_being_answered_keeps_its_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HTTP_CONNECTIONS_MAX", 3)
    go, asked = asyncio.Event(), asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await go.wait()
        await fine(scope, receive, send)

    listening = listen(Address("127.0.0.1", 0))
    async with serving(waits, listening, ending=desk.ending):
        reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asked.wait()
        others = [await asyncio.open_connection(*listening.getsockname()[:2]) for _ in range(10)]
        go.set()
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        for _reader, other in others:
            other.close()
        writer.close()


async def test_nobody_is_another_address_because_he_says_so(desk: Desk) -> None:
    """uvicorn would believe every process of this machine, and so hand out a trusted proxy's rights."""
    async with served(Gate(fine, guard_for(GUARDED)), desk) as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.7\r\nX-Forwarded-User: eve\r\n"
            b"X-Forwarded-Groups: ops\r\nContent-Length: 0\r\n\r\n"
        )
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 401")
