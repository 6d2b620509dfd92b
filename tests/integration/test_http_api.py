"""The HTTP API beside real processes and a real Kafka: orders are started, followed, declined and looked into."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.brokers import BrokerUnderTest
from tests.integration.processes import PATIENCE_MS
from tests.integration.world import World, order

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


async def test_an_order_is_started_followed_and_looked_into_over_http(
    kafka: BrokerUnderTest, tmp_path: Path, topic_prefix: str
) -> None:
    world = World(kafka.bootstrap_servers, tmp_path, topic_prefix)
    try:
        await world.start("--http", "127.0.0.1:0")
        url = re.search(r'"url": ?"(http://[^"]+)"', world.orchestrator.output())
        assert url is not None, world.orchestrator.output()
        async with httpx.AsyncClient(base_url=f"{url[1]}/api/v1", timeout=PATIENCE_MS / 1000) as client:
            await _order_and_look(client, topic_prefix)
        assert world.orchestrator.terminate() == 0
    finally:
        await world.stop()


async def _order_and_look(client: httpx.AsyncClient, prefix: str) -> None:
    done = await client.post("/sagas/order?waitMs=60000", json=order("order-1"))
    assert (done.status_code, done.json()["state"], done.json()["record"]["stepsExecuted"]) == (
        200,
        "COMPLETED",
        [1, 2, 3],
    )
    declined = await client.post("/sagas/order?waitMs=60000", json=order("order-2", customer_id="broke"))
    assert declined.json()["state"] == "COMPENSATED"

    listed = (await client.get("/sagas", params={"state": "COMPENSATED"})).json()["items"]
    assert [one["sagaId"] for one in listed] == ["order-2"]
    messages = (await client.get("/sagas/order/order-2/messages")).json()
    assert messages["complete"] is True
    assert messages["items"][0]["kind"] == "request"
    assert {one["topic"].removeprefix(prefix) for one in messages["items"]} >= {"order.requests", "inventory.commands"}
    refused = await client.post("/sagas/order/order-1/cancel", json={})
    assert (refused.status_code, refused.json()["act"]["result"]) == (409, "refused")

    lag = {(one["group"], one["topic"]): one["lag"] for one in (await client.get("/lag")).json()}
    assert (f"{prefix}orchestrator", f"{prefix}order.requests") in lag
    [replica] = (await client.get("/replicas")).json()
    assert replica["state"] == "live"
