"""The pages on either store, beside a real engine among fakes, without a network or a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.dashboard import add_to
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import open_desk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.schemas.topics import TopicNames
from tests.operations.conftest import Desk, at, desk

__all__ = ["at", "desk"]


@asynccontextmanager
async def served(desk: Desk, registry: Registry) -> AsyncIterator[httpx.AsyncClient]:
    """The dashboard of the store that `desk` works on, for sagas of `registry`; Kafka does not answer."""
    async with open_desk(
        store_at=desk.at,
        registry=registry,
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        topics=TopicNames(),
        group="orchestrator",
        clock=SystemClock(),
        new_id=new_id,
        may_write=True,
    ) as opened:
        app = create_app(opened, security=LocalSecurity("ann@desk"), pages=add_to)
        headers = {"accept": "text/html"}
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            yield client


@pytest.fixture
async def pages(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    """The dashboard of the shipped order saga."""
    async with served(desk, Registry(load_definitions(["kafka_saga.orchestrator.sagas.order"]), {})) as client:
        yield client
