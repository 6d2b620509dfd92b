"""The system and its brokers, for the suites that run real processes: `integration` and `crash`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.kafka import kafka as local_kafka
from tests.brokers import BrokerUnderTest, await_coordinator
from tests.integration.world import World


@pytest.fixture
async def world(kafka: BrokerUnderTest, tmp_path: Path, topic_prefix: str) -> AsyncIterator[World]:
    """The system on the run's broker, not started yet; everything is ended afterwards."""
    world = World(kafka.bootstrap_servers, tmp_path, topic_prefix)
    yield world
    await world.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[local_kafka.Broker]:
    """A broker of the test's own, which it may stop and kill."""
    missing = local_kafka.missing_tools()
    if missing:
        pytest.skip(f"needs a broker of its own: {missing}")
    broker = local_kafka.Broker(tmp_path / "kafka")
    try:
        broker.start()
        await_coordinator(broker.bootstrap_servers)
        yield broker
    finally:
        broker.stop()


@pytest.fixture
async def fragile(own_broker: local_kafka.Broker, tmp_path: Path, topic_prefix: str) -> AsyncIterator[World]:
    """The system on a broker of its own."""
    world = World(own_broker.bootstrap_servers, tmp_path, topic_prefix)
    yield world
    await world.stop()
