"""A service is paused under load, for longer than any timeout, through its own stop and an orchestrator's death."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kafka_saga.schemas.codec import decode_trusted
from tests.integration.processes import CLOCK, run_saga, saga_command, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

CHUNK = 100
LONGER_THAN_A_TIMEOUT_MS = 6_000


def saga(world: World, *arguments: str) -> Any:
    result = run_saga(world.environment, *arguments, "-o", "json")
    assert result.returncode == 0, result.stderr
    return decode_trusted(result.stdout)


def holds(world: World) -> dict[str, int]:
    """How many sagas each pause holds."""
    return {row["scope"]: row["held"] for row in saga(world, "pauses")}


def completed(world: World) -> int:
    """How many sagas are done."""
    return list(world.books.states().values()).count("COMPLETED")


def all_held(world: World) -> bool:
    """Whether every saga has ended or is held for payment."""
    sql = "SELECT DISTINCT state, held FROM sagas WHERE state <> 'COMPLETED'"
    return world.books.ask("orchestrator", sql) == [("RUNNING", "service:payment")]


async def test_a_paused_service_is_missed_for_longer_than_a_timeout_and_nothing_is_undone(world: World) -> None:
    await world.start()
    payment = world.processes["payment"]
    pausing = asyncio.create_task(
        asyncio.to_thread(saga, world, "pause", "--service", "payment", "--reason", "migration", "--actor", "ann")
    )
    count = 0
    while not pausing.done():  # orders come all the while
        await world.order(*(f"order-{number}" for number in range(count, count + CHUNK)))
        count += CHUNK
        # Once it is paused nothing more ends, and the command that says so has not come back yet.
        ended = count // 3
        await until("some have ended", lambda: pausing.done() or completed(world) >= ended)  # noqa: B023 -- awaited here
    assert (await pausing)["result"] == "succeeded"
    await world.order(*(f"order-{number}" for number in range(count, count + CHUNK)))
    payment.kill()
    world.orchestrator.kill()
    world.orchestrator.start()
    await world.ready("orchestrator")
    await world.order("order-late")
    count += CHUNK + 1
    await until("every order is accepted", lambda: len(world.books.states()) == count)
    await until("nothing moves but by payment", lambda: all_held(world))
    held = count - len(world.books.ask("orchestrator", "SELECT 1 FROM sagas WHERE state = 'COMPLETED'"))
    assert held > CHUNK
    assert holds(world) == {"service:payment": held}
    began = CLOCK.monotonic_ms()
    await until("a timeout's time passes", lambda: CLOCK.monotonic_ms() - began > LONGER_THAN_A_TIMEOUT_MS)
    explained = run_saga(world.environment, "explain", "order-late").stdout
    assert "who paused service payment: nothing is sent and no timeout runs" in explained
    assert holds(world) == {"service:payment": held}

    payment.start()
    await world.ready("payment")
    assert saga(world, "resume", "--service", "payment", "--reason", "migrated")["result"] == "succeeded"
    outcomes = await world.ended(count)

    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    counts = world.books.log_counts()
    assert not counts.keys() & {"TIMEOUT", "RETRY", "FAILED", "COMPENSATING", "PARKED"}, counts
    assert counts["IN_PROGRESS"] == 3 * count, "each command was sent once"
    world.books.check(outcomes)
    assert holds(world) == {}


async def test_one_order_is_held_while_its_reply_comes_and_the_others_pass_it(world: World) -> None:
    await world.start(services=("inventory", "orders"))
    await world.order("order-1")
    sql = "SELECT current_step FROM sagas WHERE saga_id = 'order-1'"
    await until("it waits for payment", lambda: world.books.ask("orchestrator", sql) == [(2,)])

    held = saga(world, "pause", "order-1", "--reason", "fraud desk", "--actor", "ann")
    assert (held["result"], held["status"]) == ("succeeded", "STEP_2 IN_PROGRESS (held)")
    world.add("payment", saga_command("participant", "payment")).start()
    await world.ready("payment")
    await world.order("order-2")
    await world.ended(1)
    assert set(world.outcomes) == {"order-2"}
    await until("its reply is taken", lambda: world.show("order-1")["stepsExecuted"] == [1, 2])
    assert world.show("order-1")["held"]["actor"] == "ann"

    assert saga(world, "pause", "order-1")["result"] == "unchanged"
    assert saga(world, "resume", "order-1")["result"] == "succeeded"
    assert (await world.ended(2))["order-1"]["state"] == "COMPLETED"
    world.books.check(world.outcomes)


async def test_a_paused_type_leaves_its_requests_in_their_topic(world: World) -> None:
    await world.start()
    saga(world, "pause", "--type", "order", "--reason", "stock-taking")
    await world.order("order-1")
    began = CLOCK.monotonic_ms()
    await until("some seconds pass", lambda: CLOCK.monotonic_ms() - began > 2_000)
    assert world.books.states() == {}

    saga(world, "resume", "--type", "order")
    assert (await world.ended(1))["order-1"]["state"] == "COMPLETED"
    result = run_saga(world.environment, "pause", "--service", "paymnt")
    assert result.returncode == 4
    assert "no definition has the service 'paymnt'" in result.stderr
