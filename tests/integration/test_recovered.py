"""A database that was put back to an earlier moment by its server's own tools: a new life begins (R59)."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.codec import decode_trusted
from tests.integration.processes import PATIENCE_MS, run_saga, saga_command, until
from tests.integration.test_restore import newest_ends
from tests.integration.world import World
from tests.postgres import PostgresUnderTest

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = 120
REFUSALS = {"orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"}}


async def administer(server: PostgresUnderTest, *statements: str) -> None:
    connection = await asyncpg.connect(server.url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_sagas_go_on_from_what_was_put_back_and_nothing_is_done_twice(
    world: World, postgres: PostgresUnderTest, postgres_url: PostgresUrl
) -> None:
    url = postgres_url.secret_text
    name = url.rpartition("/")[2]
    world.keep_in(url)
    await world.start(faults=REFUSALS)
    await world.order(*(f"order-{number}" for number in range(ORDERS)))
    await world.ended(ORDERS // 6)
    world.orchestrator.kill()
    await administer(postgres, f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    world.orchestrator.start()
    await world.ready("orchestrator")
    await world.order(*(f"later-{number}" for number in range(ORDERS)))
    await world.ended(ORDERS)
    refused = await asyncio.to_thread(run_saga, world.environment, "store", "recovered", "--yes")
    assert (refused.returncode, "stop every orchestrator first" in refused.stderr) == (4, True), refused.stderr
    world.orchestrator.kill()
    await administer(postgres, f"DROP DATABASE {name} WITH (FORCE)", f"ALTER DATABASE {name}_copy RENAME TO {name}")

    done = await asyncio.to_thread(run_saga, world.environment, "store", "recovered", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert decode_trusted(done.stdout)["again"] > 0
    half = await asyncpg.connect(url)
    await half.execute("INSERT INTO saga.meta VALUES ('renewing', '')")  # as if it had been killed before its end
    await half.close()
    early = world.add("early", saga_command("orchestrator"))
    del world.processes["early"]  # it is to end
    early.start()
    await until("a start is refused", lambda: not early.running())
    assert (early.code(), "was broken off: run it again" in early.output()) == (4, True)
    done = await asyncio.to_thread(run_saga, world.environment, "store", "recovered", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    world.outcomes.clear()
    world.orchestrator.start()
    await world.ready("orchestrator")
    everything = {f"{word}-{number}" for word in ("order", "later") for number in range(ORDERS)}

    def ended() -> bool:
        states = world.books.states()
        return set(states) == everything and set(states.values()) <= {"COMPLETED", "COMPENSATED"}

    await until("every saga has ended", ended, 2 * PATIENCE_MS)
    world.books.check(await newest_ends(world, everything))
