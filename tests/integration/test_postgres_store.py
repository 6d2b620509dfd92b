"""Real orchestrators on a real PostgreSQL: orders complete whatever is killed and restarted, and each is done once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Literal

import pytest

from deploy.postgres.postgres import Server
from kafka_saga.runtime.failpoints import ALLOW, VARIABLE
from tests.integration.processes import saga_command, until
from tests.integration.world import World
from tests.postgres import breakable_server

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

ORDERS = 120
SECRET = "tell-nobody"
"""The server does not ask for it; nobody may say it all the same."""

REFUSALS = {
    "payment": {"SAGA_FAULT_REJECT": "chargePayment:every=7:text=card declined"},
    "orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"},
}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that a test may restart."""
    with breakable_server() as server:
        yield server


@pytest.fixture
async def shared(world: World, server: Server) -> World:
    """The system with its orchestrator's store on PostgreSQL; participants keep theirs in files."""
    world.keep_in(server.url.replace("saga@", f"saga:{SECRET}@"))
    return world


def ids(count: int) -> list[str]:
    return [f"order-{number}" for number in range(count)]


async def test_orders_end_and_every_sum_adds_up(shared: World) -> None:
    await shared.start(faults=REFUSALS)
    await shared.order(*ids(ORDERS))
    outcomes = await shared.ended(ORDERS)
    shared.books.check(outcomes)
    assert shared.orchestrator.terminate() == 0
    assert SECRET not in shared.orchestrator.output()


async def test_an_orchestrator_that_is_killed_goes_on_where_it_was(shared: World) -> None:
    await shared.start(faults=REFUSALS)
    await shared.order(*ids(ORDERS))
    await shared.ended(ORDERS // 10)
    shared.orchestrator.kill()
    shared.orchestrator.start()
    await shared.ready("orchestrator")
    outcomes = await shared.ended(ORDERS)
    shared.books.check(outcomes)
    assert "TIMEOUT" not in shared.books.log_counts()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_database_is_a_pause(
    shared: World, server: Server, mode: Literal["fast", "immediate"]
) -> None:
    await shared.start(faults=REFUSALS)
    await shared.order(*ids(ORDERS))
    await shared.ended(ORDERS // 10)
    await asyncio.to_thread(server.restart, mode)
    outcomes = await shared.ended(ORDERS)
    shared.books.check(outcomes)
    assert "TIMEOUT" not in shared.books.log_counts()
    assert shared.orchestrator.running()


async def test_an_orchestrator_stops_when_it_is_told_to_while_the_database_is_away(
    shared: World, server: Server
) -> None:
    await shared.start()
    await asyncio.to_thread(server.stop)
    await shared.orchestrator.said("store.unavailable")
    assert shared.orchestrator.terminate() == 5
    assert "does not answer" in shared.orchestrator.output().splitlines()[-1]


async def test_who_does_not_reach_the_database_gives_its_partitions_away_and_comes_back(
    shared: World, server: Server
) -> None:
    await shared.start(faults=REFUSALS)
    other = shared.add("other", saga_command("orchestrator"))
    other.start(SAGA_REPLICA="two")
    await other.said("orchestrator.ready")
    await shared.order(*ids(ORDERS))
    await shared.ended(ORDERS // 10)
    await asyncio.to_thread(server.stop)
    for process in (shared.orchestrator, other):
        await process.said("replica.left_group")
    await asyncio.to_thread(server.start)
    outcomes = await shared.ended(ORDERS)
    shared.books.check(outcomes)
    assert "TIMEOUT" not in shared.books.log_counts()
    assert [process.terminate() for process in (shared.orchestrator, other)] == [0, 0]


@pytest.mark.parametrize("point", ["orchestrator.commit.before", "orchestrator.commit.after"])
async def test_a_replica_that_is_frozen_is_followed_and_harms_nothing_when_it_wakes(shared: World, point: str) -> None:
    await shared.start(faults=REFUSALS)
    frozen = shared.add("frozen", saga_command("orchestrator"))
    frozen.start(**{"SAGA_REPLICA": "two", ALLOW: "1", VARIABLE: f"{point}:5:stop"})
    await frozen.said("replica.owns")
    await shared.order(*ids(ORDERS))
    await shared.orchestrator.said("replica.declared_dead")
    await shared.ended(ORDERS)  # the other has all of its partitions
    frozen.signal(signal.SIGCONT)
    await frozen.said("replica.life_over")
    await shared.order("last")
    outcomes = await shared.ended(ORDERS + 1)
    shared.books.check(outcomes)
    assert "TIMEOUT" not in shared.books.log_counts()
    assert frozen.terminate() == 0


async def test_two_orchestrators_share_the_work_and_two_of_one_name_do_not(shared: World) -> None:
    shared.environment["SAGA_REPLICA"] = "one"
    await shared.start(faults=REFUSALS)
    twin = shared.add("twin", saga_command("orchestrator"))
    del shared.processes["twin"]  # it is to end
    twin.start()
    other = shared.add("other", saga_command("orchestrator"))
    other.start(SAGA_REPLICA="two")
    await other.said("orchestrator.ready")
    await shared.order(*ids(ORDERS))
    outcomes = await shared.ended(ORDERS)
    shared.books.check(outcomes)
    await until("the twin has ended", lambda: not twin.running())
    assert twin.code() == 4
    assert "a replica named 'one' is alive on this store: give this one a name of its own" in twin.output()
    shared.orchestrator.kill()
    await shared.order("last")
    assert set(await shared.ended(ORDERS + 1)) == {*ids(ORDERS), "last"}
