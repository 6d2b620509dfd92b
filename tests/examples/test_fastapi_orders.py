"""The FastAPI example: a real server beside the real system, asked as its customers ask it."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from kafka_saga import Rejected
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.schemas.orders import (
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    ReserveItems,
)
from kafka_saga.testing import InMemorySagas
from tests.examples.conftest import EXAMPLES
from tests.integration.world import World

FOLDER = EXAMPLES / "fastapi_orders"


def order(customer: str = "alice", **fields: Any) -> dict[str, Any]:
    items = [{"sku": "lamp", "quantity": 1}]
    return {"customer_id": customer, "items": items, "amount": 4_990, "currency": "EUR", **fields}


@pytest.fixture
async def service(world: World, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The whole system, and the example on a port of its own."""
    await world.start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(FOLDER), "--port", str(port)]
    process = world.add("order service", command)
    process.start(ORDERS_WAIT_S="30", ORDERS_DATABASE=str(tmp_path / "orders.db"))
    await process.said_text("Uvicorn running on")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    process.terminate()


@pytest.mark.kafka
@pytest.mark.processes
async def test_an_order_is_answered_by_how_its_saga_ends(service: httpx.AsyncClient) -> None:
    done = await service.post("/orders", json=order(), headers={"idempotency-key": "1"})
    assert (done.status_code, done.json()["status"]) == (201, "completed"), done.text
    assert done.json()["order_number"]
    again = await service.post("/orders", json=order(), headers={"idempotency-key": "1"})
    assert again.json() == done.json(), "the same key is the same order"
    other = await service.post("/orders", json=order(amount=1), headers={"idempotency-key": "1"})
    assert (other.status_code, other.json()["status"]) == (409, "refused"), other.text
    undone = await service.post("/orders", json=order("broke"))
    assert (undone.status_code, undone.json()["reason"]) == (409, "card declined: the balance is too low")
    later = await service.post("/orders", json=order(), headers={"prefer": "wait=0"})
    assert (later.status_code, later.json()["status"]) == (202, "pending")
    where, states = later.headers["location"], [202]

    async def look() -> httpx.Response:
        found = await service.get(where)
        states.append(found.status_code)
        return found

    while (found := await look()).status_code == 202:
        assert len(states) < 100
    assert (found.status_code, found.json()["status"]) == (200, "completed")
    assert (await service.get("/orders/order-1")).status_code == 200
    gone = await service.get(f"/orders/{undone.json()['order_id']}")
    assert (gone.status_code, gone.json()["reason"]) == (409, "card declined: the balance is too low")
    for nobodys in ("nope", "order-nope", "a%20b", "x" * 500):
        assert (await service.get(f"/orders/{nobodys}")).status_code == 404, nobodys
    reused = await service.post("/orders", json=order(amount=2), headers={"idempotency-key": "1", "prefer": "wait=0"})
    assert reused.status_code == 409, "also where nobody waits for the saga"
    for patience in ("wait=" + "9" * 5_000, "wait=soon", "respond-async"):
        assert (await service.post("/orders", json=order(), headers={"prefer": patience})).status_code == 201
    assert (await service.get("/health")).json()["status"] == "ok"
    assert (await service.post("/orders", json={**order(), "amount": -1})).status_code == 422


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("fastapi_orders_app", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # FastAPI looks its annotations up there
    spec.loader.exec_module(module)
    return module


async def test_its_own_tests_need_no_kafka(example: ModuleType, tmp_path: Path) -> None:
    sagas = InMemorySagas(
        order_saga,
        answers={
            ReserveItems: ItemsReserved(reservation_id="r-1"),
            ChargePayment: charge,
            CreateOrder: OrderCreated(order_number="n-1"),
        },
    )
    placed = example.Orders(tmp_path / "orders.db")
    example.app.dependency_overrides |= {example.sagas_of: lambda: sagas, example.orders_of: lambda: placed}
    transport = httpx.ASGITransport(example.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        done = await client.post("/orders", json=order(), headers={"idempotency-key": "1"})
        undone = await client.post("/orders", json=order("broke"), headers={"idempotency-key": "2"})
        later = await client.post("/orders", json=order(), headers={"idempotency-key": "3", "prefer": "wait=0"})
        goes_on = await client.get("/orders/order-3")
        absent = await client.get("/orders/order-4")
    assert (done.status_code, done.json()["order_number"]) == (201, "n-1")
    assert (undone.status_code, undone.json()["reason"]) == (409, "card declined")
    assert (later.status_code, goes_on.status_code, absent.status_code) == (202, 202, 404)
    placed.close()


def charge(command: ChargePayment) -> PaymentCharged:
    if command.customer_id == "broke":
        raise Rejected("card declined")
    return PaymentCharged(charge_id="c-1")
