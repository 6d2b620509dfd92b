"""A participant that comes first makes its topics as the settings say, and not with a number of its own."""

from __future__ import annotations

import pytest

from kafka_saga.messaging.topics import list_topics
from kafka_saga.schemas.topics import dead_letter_topic
from tests.brokers import BrokerUnderTest
from tests.integration.processes import saga_command
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


async def test_a_participant_makes_topics_with_as_many_partitions_as_are_set(
    kafka: BrokerUnderTest, world: World
) -> None:
    if not kafka.is_real:
        pytest.skip("the embedded broker chooses the number of partitions itself")
    world.environment["SAGA_PARTITIONS"] = "6"
    world.add("payment", saga_command("participant", "payment")).start()
    await world.ready("payment")

    there = await list_topics(world.kafka)

    commands = world.topics.commands("payment")
    made = {name: there[name] for name in (commands, world.topics.replies_of("payment"), dead_letter_topic(commands))}
    assert set(made.values()) == {6}, made
