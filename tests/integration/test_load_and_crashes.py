"""Many orders at once, and processes that die in the middle of them: every saga ends, and every sum adds up."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.integration.processes import CLOCK
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

FLOOD = int(os.environ.get("SAGA_TEST_FLOOD", "20000"))
MEMORY_MB_MAX = 300
"""Of each process, however many requests wait: they wait in Kafka (R20)."""

ORDERS = int(os.environ.get("SAGA_TEST_ORDERS", "3000"))

REFUSALS = {
    "payment": {"SAGA_FAULT_REJECT": "chargePayment:every=7:text=card declined"},
    "orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"},
}


def ids(count: int) -> list[str]:
    return [f"order-{number}" for number in range(count)]


@pytest.mark.timeout(300 + FLOOD // 100)
async def test_a_flood_of_orders_ends_without_a_single_timeout_R20(world: World, remark: Callable[[str], None]) -> None:
    await world.start(faults=REFUSALS)
    began_ms = CLOCK.monotonic_ms()
    await world.order(*ids(FLOOD))
    outcomes = await world.ended(FLOOD, patience_ms=240_000 + 10 * FLOOD)
    took_ms = CLOCK.monotonic_ms() - began_ms
    remark(f"{FLOOD:,} sagas in {took_ms / 1000:.1f} s: {FLOOD * 1000 / took_ms:,.0f} sagas/s")
    remark(f"most memory, MB: {world.memory_peaks_mb()}")
    assert {name: peak for name, peak in world.memory_peaks_mb().items() if peak > MEMORY_MB_MAX} == {}
    assert "TIMEOUT" not in world.books.log_counts()
    world.books.check(outcomes)
    states = [outcome["state"] for outcome in outcomes.values()]
    assert min(states.count("COMPLETED"), states.count("COMPENSATED")) > FLOOD / 10


@pytest.mark.parametrize("victim", ["orchestrator", "inventory", "payment", "orders"])
async def test_a_process_killed_in_the_middle_changes_no_sum_I3_I9(world: World, victim: str) -> None:
    await world.start(faults=REFUSALS)
    await world.order(*ids(ORDERS))
    for share in (ORDERS // 10, ORDERS // 2):
        await world.ended(share)
        world.processes[victim].kill()
        world.processes[victim].start()
    await world.ready(victim)
    outcomes = await world.ended(ORDERS)
    world.books.check(outcomes)


async def test_every_process_killed_at_once_changes_no_sum_I3_I9(world: World) -> None:
    await world.start(faults=REFUSALS)
    await world.order(*ids(ORDERS))
    await world.ended(ORDERS // 5)
    for process in world.processes.values():
        process.kill()
    for process in world.processes.values():
        process.start()
    await world.ready()
    outcomes = await world.ended(ORDERS)
    world.books.check(outcomes)


async def test_a_participant_that_dies_again_and_again_after_its_commit_repeats_nothing_I3(world: World) -> None:
    await world.start(faults={"inventory": {"SAGA_FAULT_CRASH": f"reserveItems:every={ORDERS // 8}"}})
    inventory = world.processes["inventory"]
    await world.order(*ids(ORDERS))
    crashes = 0

    def restart() -> None:
        nonlocal crashes
        if not inventory.running():
            assert inventory.code() == -9
            crashes += 1
            inventory.start()

    await world.ended(ORDERS, meanwhile=restart)
    assert crashes >= 2
    world.books.check(world.outcomes)
    assert {outcome["state"] for outcome in world.outcomes.values()} == {"COMPLETED"}
