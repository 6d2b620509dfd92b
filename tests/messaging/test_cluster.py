"""One connection for questions: whatever it opens is closed, also what opens after nobody waits any more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_saga.messaging import cluster as cluster_module
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError

UNUSED_PORT = "127.0.0.1:1"


class SlowClient:
    """A client whose connection opens only once somebody lets it."""

    def __init__(self, **_options: Any) -> None:
        self.may_open = asyncio.Event()
        self.is_open = False
        self.cluster = SimpleNamespace(controller=SimpleNamespace(nodeId=1))

    async def bootstrap(self) -> None:
        """Reach the brokers."""

    async def send(self, _node: int, _request: object) -> None:
        await self.may_open.wait()
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


async def test_a_connection_that_opens_after_its_question_was_given_up_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[SlowClient] = []

    def make(**options: Any) -> SlowClient:
        made.append(SlowClient(**options))
        return made[-1]

    monkeypatch.setattr(cluster_module, "AIOKafkaClient", make)
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_MS", 1)
    cluster = Cluster(KafkaSettings(bootstrap_servers=UNUSED_PORT))
    with pytest.raises(BrokerUnavailableError):
        await cluster.topics()
    [client] = made
    given_up = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    client.may_open.set()
    await asyncio.wait(given_up)

    assert not client.is_open
    await cluster.close()
