"""What it costs the engine that somebody looks on: a page of the dashboard that is open, a scrape each second."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx

from bench.measure import measure
from bench.run import Bench
from bench.system import BenchError, Options, running, say
from deploy.kafka.kafka import free_port

SCRAPE_INTERVAL_S = 1.0
_STREAM = re.compile(r'hx-sse:connect="([^"]+)"')

Onlooker = Callable[[httpx.AsyncClient], AbstractAsyncContextManager[None]]


async def watching(bench: Bench) -> None:
    """A flood that nobody looks at, with `/metrics` asked for each second, and with the overview open, in turns."""
    arms = {"alone": _nobody, "scraped": _scraper, "watched": _viewer}
    parts = {f"{arm} #{turn}": look for turn in bench.turns for arm, look in _turned(arms, turn)}
    missing = bench.missing("watching", parts)
    if not missing:
        return
    address = f"127.0.0.1:{free_port()}"
    options = Options(flags=("--http", address))
    async with (
        running(bench.kafka, bench.directory / "watching", options) as system,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=None) as client,
    ):
        await measure(system, bench.size.warm)
        for name, look in missing.items():
            say(f"watching: {name} …")
            async with look(client):
                bench.keep("watching", name, await measure(system, bench.size.orders))


def _turned(arms: Mapping[str, Onlooker], turn: int) -> list[tuple[str, Onlooker]]:
    """The arms, each turn beginning with another: what comes first is no better off."""
    every = list(arms.items())
    return every[turn % len(every) :] + every[: turn % len(every)]


@asynccontextmanager
async def _nobody(_client: httpx.AsyncClient) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _scraper(client: httpx.AsyncClient) -> AsyncIterator[None]:
    async def scrape() -> None:
        while True:
            (await client.get("/metrics")).raise_for_status()
            await asyncio.sleep(SCRAPE_INTERVAL_S)

    async with _beside(scrape()):
        yield


@asynccontextmanager
async def _viewer(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Reads the overview, and what it is sent to stay up to date, as the browser does."""
    page = (await client.get("/")).raise_for_status().text
    stream = _STREAM.search(page)
    if stream is None:
        raise BenchError("the overview names no stream that keeps it up to date")
    heard = 0

    async def read() -> None:
        nonlocal heard
        async with client.stream("GET", stream[1], headers={"accept": "text/event-stream"}) as response:
            async for _ in response.raise_for_status().aiter_lines():
                heard += 1

    async with _beside(read()):
        yield
    if not heard:
        raise BenchError("the overview's stream said nothing while sagas ran")


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have `work` done while the block runs; it does not end by itself.

    Raises:
        BenchError: it did.

    """
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            raise BenchError(f"who looked on has stopped: {task.exception()!r}")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await task
