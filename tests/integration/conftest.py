from __future__ import annotations

from tests.integration.fixtures import fragile, own_broker, world

__all__ = ["fragile", "own_broker", "world"]
