"""A participant in another stack, written from the wire contract alone, takes over one service (R6)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.integration import foreign_participant
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


async def start_foreign(world: World, tmp_path: Path) -> None:
    topic = world.topics.commands("orders")
    script = [str(foreign_participant.__file__), world.kafka.bootstrap_servers, topic, str(tmp_path / "foreign.db")]
    await world.start(services=["inventory", "payment"])
    foreign = world.add("foreign", [sys.executable, *script])
    foreign.start()
    await foreign.said_text("ready")


async def test_a_foreign_participant_takes_over_a_service(world: World, tmp_path: Path) -> None:
    await start_foreign(world, tmp_path)
    await world.order(*[f"order-{number}" for number in range(20)])
    outcomes = await world.ended(20)
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    assert world.show("order-7")["data"]["replies"]["create_order"] == {"order_number": "FOREIGN-order-7"}


async def test_a_foreign_refusal_undoes_the_steps_of_ours(world: World, tmp_path: Path) -> None:
    await start_foreign(world, tmp_path)
    await world.order("order-1", amount=2_000_000)
    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["stepsCompensated"]) == ("COMPENSATED", [2, 1])
    assert record["error"] == "too expensive for us"


def test_it_needs_nothing_of_ours_and_fits_on_a_page() -> None:
    source = Path(str(foreign_participant.__file__)).read_text()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"asyncio", "json", "sqlite3", "sys", "aiokafka"}
    assert len(source.splitlines()) <= 60
