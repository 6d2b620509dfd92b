"""A process that stands still for longer than Kafka's session timeout, and then goes on (fault 12; R21, R24)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from kafka_saga.runtime.failpoints import ALLOW, LOG_VARIABLE, VARIABLE
from kafka_saga.runtime.limits import SESSION_TIMEOUT_MS
from tests.brokers import BrokerUnderTest
from tests.integration.processes import CLOCK, run_saga, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = 200
FROZEN_MS = SESSION_TIMEOUT_MS + 2_000
REFUSED = 4


async def freeze(world: World, role: str, point: str) -> None:
    """Stop `role` with SIGSTOP at `point`, in the middle of orders; let it go on after `FROZEN_MS`."""
    reached = world.data_dir.parent / "reached.log"
    await world.start()
    victim = world.processes[role]
    victim.kill()
    victim.start(**{ALLOW: "1", VARIABLE: f"{point}:1:stop", LOG_VARIABLE: str(reached)})
    await world.ready(role)
    await world.order(*[f"order-{number}" for number in range(ORDERS)])
    line = f"{point} {victim.pid}"
    await until(f"{role} has come to {point}", lambda: reached.exists() and line in reached.read_text())
    frozen_at = CLOCK.monotonic_ms()
    await until(f"{role} stands still", lambda: is_stopped(victim.pid))
    if role == "orchestrator":
        another = await asyncio.to_thread(run_saga, world.environment, "orchestrator")
        assert (another.returncode, "is in use by saga orchestrator" in another.stderr) == (REFUSED, True)
    await CLOCK.sleep(FROZEN_MS - (CLOCK.monotonic_ms() - frozen_at))
    assert len(world.outcomes) < ORDERS
    os.kill(victim.pid, signal.SIGCONT)
    outcomes = await world.ended(ORDERS)
    world.books.check(outcomes)
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    assert victim.running()


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_process_that_stood_still_goes_on_as_if_nothing_had_been(
    kafka: BrokerUnderTest, tmp_path: Path
) -> None:
    points = {
        "orchestrator": "orchestrator.commit.before",  # with the transaction open and the write lock held
        "inventory": "participant.commit.after",
    }
    worlds = {
        role: World(kafka.bootstrap_servers, tmp_path / role, f"freeze-{os.urandom(5).hex()}.") for role in points
    }
    for role in worlds:
        (tmp_path / role).mkdir()
    try:
        await asyncio.gather(*(freeze(world, role, points[role]) for role, world in worlds.items()))
        by_orchestrator, by_participant = (worlds[role].books.log_counts() for role in points)
        assert "TIMEOUT" not in by_orchestrator, "replies that lay unread while it stood still were no timeouts (R21)"
        assert by_participant["TIMEOUT"] > 0, "the participant stood still for longer than a step's patience"
    finally:
        for world in worlds.values():
            await world.stop()
