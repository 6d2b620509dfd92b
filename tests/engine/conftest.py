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
