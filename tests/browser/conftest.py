"""A real browser on a dashboard that a real system serves: broker, orchestrator, participants, all in processes.

Everything here lives in one loop for the whole run: a browser takes a second to start, a system five.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.codec import decode_trusted
from tests.brokers import BrokerUnderTest
from tests.browser.chromium import FLAGS, NoBrowserError, find_chromium
from tests.browser.screens import Screen
from tests.integration.processes import ROOT
from tests.integration.world import World
from tests.postgres import PostgresUnderTest

SHOTS = ROOT / "build" / "screenshots"
LOCKED = "releaseItems:text=the shelf is locked"
STORES = ("sqlite", "postgresql")
Screens = Callable[..., Awaitable[Screen]]
Keep = Callable[[World], Awaitable[None]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop for all tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser."""
    try:
        executable = find_chromium()
    except NoBrowserError as error:
        if os.environ.get("SAGA_TEST_BROWSER") == "required":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def screens(chromium: Browser) -> AsyncIterator[Screens]:
    """Opens windows: `await screens(site, phone=True, dark=True)`. Each is checked when the test ends."""
    opened: list[Screen] = []

    async def open_screen(site: str, **how: Any) -> Screen:
        opened.append(await Screen.open(chromium, site, SHOTS, **how))
        return opened[-1]

    yield open_screen
    for screen in opened:
        await screen.close()


@pytest.fixture(scope="session")
def keep(request: pytest.FixtureRequest) -> Keep:
    """Says where a world's store is: a file, or with `SAGA_TEST_BROWSER_STORE=postgresql` a database of its own."""
    asked = os.environ.get("SAGA_TEST_BROWSER_STORE", "sqlite")
    assert asked in STORES, f"SAGA_TEST_BROWSER_STORE is {asked!r}; it is one of {', '.join(STORES)}"

    async def say(world: World) -> None:
        if asked == "postgresql":
            server: PostgresUnderTest = request.getfixturevalue("postgres")
            world.keep_in(await server.create_database(f"browser_{os.urandom(5).hex()}"))

    return say


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(kafka: BrokerUnderTest, tmp_path_factory: pytest.TempPathFactory, keep: Keep) -> AsyncIterator[World]:
    """The shipped order saga, whose inventory refuses to release anything: what is declined is parked."""
    world = World(kafka.bootstrap_servers, tmp_path_factory.mktemp("browser"), f"browser-{os.urandom(4).hex()}.")
    await keep(world)
    try:
        await world.start("--http", "127.0.0.1:0", faults={"inventory": {"SAGA_FAULT_REJECT": LOCKED}})
        yield world
    finally:
        await world.stop()


@pytest.fixture(scope="session")
def site(system: World) -> str:
    """Where the system serves its dashboard."""
    return site_of(system)


def site_of(world: World, process: str = "orchestrator") -> str:
    """Where a process said that its dashboard is."""
    lines = [line for line in world.processes[process].output().splitlines() if '"http.ready"' in line]
    return str(decode_trusted(lines[-1].encode())["url"])


async def until(what: str, done: Callable[[], Awaitable[bool]], patience_ms: int = 60_000) -> None:
    """Ask again and again; fail with `what` where it takes longer than anybody should wait."""
    clock = SystemClock()
    deadline = clock.monotonic_ms() + patience_ms
    while not await done():
        assert clock.monotonic_ms() < deadline, f"after {patience_ms / 1000:g} s still not: {what}"
        await clock.sleep(100)
