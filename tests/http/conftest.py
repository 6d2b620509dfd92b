"""The application on a real store, without a network; who asks is told by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.http.desk import Desk, open_desk
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.schemas.topics import TopicNames
from tests.http.shop import Shop, open_file_shop

REGISTRY = Registry(load_definitions(["kafka_saga.orchestrator.sagas.order"]), {})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk on an empty store, and on no Kafka."""
    path = tmp_path / "orchestrator.db"
    await (await open_store(path, SystemClock())).close()
    async with open_desk(
        store_at=path,
        registry=REGISTRY,
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        topics=TopicNames(),
        group="orchestrator",
        clock=SystemClock(),
        new_id=new_id,
        may_write=True,
    ) as opened:
        yield opened


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """An engine on a new file, and the application beside it."""
    async with open_file_shop(tmp_path / "shop.db") as opened:
        yield opened
