from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.participants.adapters import adapter, on_postgres, postgres_schema
from tests.participants.worker_world import World

__all__ = ["adapter", "on_postgres", "postgres_schema"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A worker that is not started yet; killed at the end, unless the test stopped it."""
    world = World(tmp_path / "shop.db")
    yield world
    if world.task is not None:
        await world.kill()
