"""Orders are half way when their store moves from a file to PostgreSQL; they end there, each done once."""

from __future__ import annotations

import asyncio

import pytest

from kafka_saga.runtime.postgres import PostgresUrl
from tests.integration.processes import run_saga, saga_command, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

ORDERS = 150
REFUSALS = {
    "payment": {"SAGA_FAULT_REJECT": "chargePayment:every=7:text=card declined"},
    "orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"},
}


async def test_running_sagas_move_and_nothing_is_lost(world: World, postgres_url: PostgresUrl) -> None:
    await world.start(faults=REFUSALS)
    await world.order(*(f"order-{number}" for number in range(ORDERS)))
    await world.ended(ORDERS // 10)
    world.orchestrator.kill()  # with whatever it had not published
    await world.order(*(f"late-{number}" for number in range(20)))
    url = postgres_url.secret_text
    copied = await asyncio.to_thread(run_saga, world.environment, "store", "copy", "--to", url, "--json")
    assert copied.returncode == 0, copied.stderr

    old = world.add("old", saga_command("orchestrator"))
    del world.processes["old"]  # it is to end
    old.start()
    world.keep_in(url)
    world.orchestrator.start(SAGA_STORE=url)
    await world.ready("orchestrator")
    outcomes = await world.ended(ORDERS + 20)
    world.books.check(outcomes)
    assert "TIMEOUT" not in world.books.log_counts()
    await until("the old store is refused", lambda: not old.running())
    assert old.code() == 4
    assert "was moved to postgresql://" in old.output()
    assert world.show("late-1")["state"] in {"COMPLETED", "COMPENSATED"}
    assert world.orchestrator.terminate() == 0
