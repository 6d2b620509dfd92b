"""The API beside a running engine: the real application and engine on a real store, among a Kafka in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import Desk, open_desk
from kafka_saga.orchestrator.http.live import Live
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.sqlite import open_threaded
from kafka_saga.schemas.envelope import Outcome, Reason
from kafka_saga.schemas.topics import TopicNames
from tests.contracts.stores import REQUEST
from tests.engine.world import StillClock, World
from tests.operations.conftest import Pacer


@dataclass
class Shop:
    """An engine, the application beside it, and somebody who asks it."""

    world: World
    desk: Desk
    client: httpx.AsyncClient
    clock: Pacer
    app: FastAPI

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1{path}", params=query)

    async def post(self, path: str, document: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"/api/v1{path}", json={} if document is None else document, headers=named)

    def order(self, saga_id: str, **fields: Any) -> dict[str, Any]:
        return {**REQUEST, "order_id": saga_id, **fields}

    def answers(self, command_type: str, outcome: Outcome = Outcome.SUCCESS) -> Callable[[], None]:
        """The service answers the newest such command, when it is called."""
        return lambda: self.world.answer(self.world.sent(command_type)[-1], outcome) and None

    async def complete(self, saga_id: str, **fields: Any) -> None:
        await self.world.begin(saga_id, **fields)
        for command in ("reserveItems", "chargePayment", "createOrder"):
            self.world.answer(self.world.sent(command)[-1])
            await self.world.turn(2)

    async def park(self, saga_id: str) -> None:
        """The payment is declined, and the reservation cannot be released."""
        await self.world.begin(saga_id)
        for command, outcome, why in (
            ("reserveItems", Outcome.SUCCESS, None),
            ("chargePayment", Outcome.FAILURE, None),
            ("releaseItems", Outcome.FAILURE, Reason.REJECTED),
        ):
            self.world.answer(self.world.sent(command)[-1], outcome, reason=why)
            await self.world.turn(2)


@asynccontextmanager
async def open_shop(at: StoreLocation, store: Store, clock: StillClock) -> AsyncIterator[Shop]:
    """A shop on a store that is open."""
    world = await World(store, clock).start()
    pacer, numbers = Pacer(world), count(1)
    async with open_desk(
        store_at=at,
        registry=Registry([order_saga], {}),
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        topics=TopicNames(),
        group="orchestrator",
        clock=pacer,
        new_id=lambda: f"{next(numbers):08x}",
        may_write=True,
    ) as opened:
        live = Live(opened.readers, SystemClock(), opened.ending, "epoch")
        desk = replace(opened, producer=world.kafka, live=live)
        app = create_app(desk, security=LocalSecurity("ann@desk"))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield Shop(world, desk, client, pacer, app)
    await world.stop()


@asynccontextmanager
async def open_file_shop(path: Path) -> AsyncIterator[Shop]:
    """A shop on a new file."""
    clock = StillClock()
    store = await SqliteStore.create(await open_threaded(path), clock)
    try:
        async with open_shop(path, store, clock) as shop:
            yield shop
    finally:
        await store.close()
