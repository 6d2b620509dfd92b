"""Processes that are started before their broker wait for it, say so, and can be stopped or told not to wait."""

from __future__ import annotations

import asyncio

import pytest

from deploy.kafka import kafka as local_kafka
from tests.integration.processes import saga_command
from tests.integration.world import SERVICES, World

pytestmark = [pytest.mark.processes]


@pytest.fixture
def away(fragile: World, own_broker: local_kafka.Broker) -> World:
    """The system on a broker that has stopped."""
    own_broker.stop()
    return fragile


async def test_processes_that_start_before_their_broker_wait_and_then_work(
    away: World, own_broker: local_kafka.Broker
) -> None:
    starting = asyncio.create_task(away.start())
    while len(away.processes) < 1 + len(SERVICES):
        await asyncio.wait({starting}, timeout=0.05)
    for process in away.processes.values():
        await process.said("kafka.awaited")
        assert f"cannot reach Kafka at {own_broker.bootstrap_servers}: is it running?" in process.output()
    await asyncio.to_thread(own_broker.start)
    await starting
    await away.order("order-1")
    await away.ended(1)
    away.books.check(away.outcomes)
    assert all(process.output().count("kafka.awaited") < 5 for process in away.processes.values())


@pytest.mark.parametrize("command", ["orchestrator", "participant payment"])
async def test_a_process_that_waits_stops_at_once_when_it_is_told_to(away: World, command: str) -> None:
    process = away.add(command, saga_command(*command.split()))
    process.start()
    await process.said("kafka.awaited")
    assert process.terminate() == 0
    assert "Traceback" not in process.output()
