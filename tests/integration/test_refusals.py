"""What the broker does not take, on a real Kafka: each has its answer, and others go on (R56)."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from tests.integration.processes import CLOCK, PATIENCE_MS
from tests.integration.world import World

pytestmark = [pytest.mark.real_kafka, pytest.mark.processes]

ITEMS = [{"sku": "book", "quantity": 1} for _ in range(100)]


def admin_of(world: World) -> AdminClient:
    return AdminClient({"bootstrap.servers": world.kafka.bootstrap_servers})


def limit(world: World, topic: str, max_bytes: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = admin_of(world)  # its answers need it alive
    for done in admin.incremental_alter_configs([resource]).values():
        done.result()


async def said(world: World, name: str, text: str) -> None:
    deadline = CLOCK.monotonic_ms() + PATIENCE_MS
    while text not in world.processes[name].output():
        assert CLOCK.monotonic_ms() < deadline, f"{name} never said {text}"
        await CLOCK.sleep(50)


async def state_is(world: World, saga_id: str, state: str) -> None:
    deadline = CLOCK.monotonic_ms() + PATIENCE_MS
    while (seen := world.show(saga_id)["state"]) != state:
        assert CLOCK.monotonic_ms() < deadline, f"{saga_id} is {seen}"
        await CLOCK.sleep(200)


async def test_an_event_that_its_topic_does_not_take_stops_no_saga(world: World) -> None:
    await world.start()
    limit(world, world.topics.events("order"), 2_000)

    await world.order("large", items=ITEMS)
    await world.order(*[f"small-{number}" for number in range(49)])

    await world.ended(49)
    await state_is(world, "large", "COMPLETED")
    await said(world, "orchestrator", "publish.lost")
    assert "TIMEOUT" not in world.books.log_counts()


async def test_a_command_that_its_topic_does_not_take_is_told_to_its_saga_at_once(world: World) -> None:
    await world.start()
    limit(world, world.topics.commands("payment"), 100)

    await world.order("order-1")

    outcomes = await world.ended(1)
    assert outcomes["order-1"]["state"] == "COMPENSATED"
    assert (outcomes["order-1"]["stepsExecuted"], outcomes["order-1"]["stepsCompensated"]) == ([1], [1])
    assert "payment.commands" in outcomes["order-1"]["error"]
    assert "TIMEOUT" not in world.books.log_counts()
    world.books.check(outcomes)


@pytest.mark.timeout(300)
async def test_a_deleted_topic_holds_back_its_own_commands_only_and_goes_on_when_it_is_back(world: World) -> None:
    await world.start()
    await world.order("order-0")
    await world.ended(1)
    topic, admin = world.topics.commands("payment"), admin_of(world)
    for done in admin.delete_topics([topic]).values():
        done.result()

    waiting = [f"order-{number}" for number in range(1, 11)]
    await world.order(*waiting)
    await said(world, "orchestrator", "publish.refused")
    for saga_id in waiting:
        deadline = CLOCK.monotonic_ms() + PATIENCE_MS
        while world.show(saga_id)["steps"][0]["status"] != "SUCCESS":
            assert CLOCK.monotonic_ms() < deadline, f"{saga_id} did not get past the step before: others are held, too"
            await CLOCK.sleep(200)
    assert "TIMEOUT" not in world.books.log_counts(), "what was not published cannot time out (R21)"

    for done in admin.create_topics([NewTopic(topic, 4)]).values():
        done.result()
    outcomes = await world.ended(11)
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    world.books.check(outcomes)
