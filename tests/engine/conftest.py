from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.engine.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A started engine; stopped at the end, unless the test did."""
    world = await World().start()
    yield world
    if not world.ended:
        await world.stop()


@pytest.fixture
async def narrow() -> AsyncIterator[World]:
    """An engine that runs four sagas at once."""
    world = await World().start(in_flight_max=4)
    yield world
    if not world.ended:
        await world.stop()
