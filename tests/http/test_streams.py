"""Server-sent events by what a listener reads: at once, whenever something changes, and after an interruption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.live import Live, TooManyClientsError
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.http.server import listen, serving
from kafka_saga.orchestrator.http.settings import Address
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.live_limits import LIVE_CLIENTS_MAX
from kafka_saga.runtime.serving import url_of
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.ids import SagaRef
from tests.http.shop import Shop

ONE = "/sagas/order/order-1/events"
PATIENCE_S = 60


class Listener:
    """Reads events of one stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The next event; comments are left out."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                if not line and found:
                    return found
                name, _, value = line.partition(": ")
                if name in {"id", "event", "data"}:
                    found[name] = decode_trusted(value) if name == "data" else value
        return {"event": "closed"}


@pytest.fixture
async def url(shop: Shop) -> AsyncIterator[str]:
    """Where the shop's application is served: streams need a connection."""
    listening = listen(Address("127.0.0.1", 0))
    url = f"{url_of(listening)}/api/v1"
    async with serving(create_app(shop.desk, security=LocalSecurity("ann@desk")), listening, ending=shop.desk.ending):
        yield url


@asynccontextmanager
async def listening_to(url: str, last: str | None = None) -> AsyncIterator[Listener]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with (
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        yield Listener(response)


async def test_one_saga_is_told_at_once_whenever_it_changes_and_to_its_end(shop: Shop, url: str) -> None:
    await shop.world.begin("order-1")
    async with listening_to(f"{url}{ONE}") as listener:
        first = await listener.next()
        assert (first["event"], first["data"]["status"]) == ("saga", "STEP_1 IN_PROGRESS")
        await shop.world.succeed("reserveItems")
        second = await listener.next()
        assert second["data"]["status"] == "STEP_2 IN_PROGRESS"
        assert [row["status"] for row in second["data"]["log"]] == ["SUCCESS", "IN_PROGRESS"]
        await shop.world.succeed("chargePayment")
        await shop.world.succeed("createOrder")
        last = [await listener.next()]
        while last[-1]["event"] != "end":
            last.append(await listener.next())
        assert last[-1]["data"] == {"state": "COMPLETED"}
        assert (await listener.next())["event"] == "closed"

    async with listening_to(f"{url}{ONE}", last[-1]["id"]) as listener:
        assert listener.status == 204


async def test_who_comes_back_to_a_saga_is_told_what_was_missed(shop: Shop, url: str) -> None:
    await shop.world.begin("order-1")
    async with listening_to(f"{url}{ONE}") as listener:
        seen = (await listener.next())["id"]
    await shop.world.succeed("reserveItems")

    async with listening_to(f"{url}{ONE}", seen) as listener:
        missed = await listener.next()

    assert [row["status"] for row in missed["data"]["log"]] == ["SUCCESS", "IN_PROGRESS"]
    assert missed["data"]["log"][0]["seq"] == int(seen) + 1


async def test_all_sagas_are_told_as_they_change_and_again_to_who_comes_back(shop: Shop, url: str) -> None:
    async with listening_to(f"{url}/events") as listener, listening_to(f"{url}/events") as other:
        assert (await listener.next())["event"] == "hello"
        assert (await other.next())["event"] == "hello"
        looked = shop.desk.live
        assert await looked.next_look(PATIENCE_S * 1_000)
        await shop.world.begin("order-1")
        first = await listener.next()
        assert (first["event"], first["data"]["sagaId"], first["data"]["state"]) == ("saga", "order-1", "RUNNING")
        assert (await other.next())["data"]["sagaId"] == "order-1"
        await shop.complete("order-2")
        ended = await listener.next()
        while ended["data"]["state"] != "COMPLETED":
            ended = await listener.next()

        async with listening_to(f"{url}/events", first["id"]) as back:
            assert (await back.next())["event"] == "hello"
            assert (await back.next())["data"]["sagaId"] == "order-2"


async def test_who_comes_back_too_late_is_told_to_look_for_himself(url: str) -> None:
    async with listening_to(f"{url}/events", "another-17") as listener:
        assert (await listener.next())["event"] == "hello"
        assert (await listener.next())["event"] == "reset"


async def test_the_store_is_asked_once_for_all_and_not_at_all_for_nobody(shop: Shop) -> None:
    live = shop.desk.live
    assert live._looking is None
    async with live.follow(), live.follow(), live.naming(SagaRef("order", "order-1")):
        assert live.followers == 3
        looking = live._looking
        assert looking is not None
    assert live._looking is None
    assert live.followers == 0


async def test_one_stream_too_many_is_refused(shop: Shop) -> None:
    live = Live(shop.desk.readers, SystemClock(), shop.desk.ending, "epoch")
    live.followers = LIVE_CLIENTS_MAX
    with pytest.raises(TooManyClientsError):
        async with live.follow():
            pass
