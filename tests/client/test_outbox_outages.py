"""The outbox through an outage of Kafka, of its database, and with two relays: nothing is lost, and order is kept."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError

from deploy.postgres.postgres import Server
from kafka_saga.client import SagaType
from kafka_saga.client.outbox import Outbox, OutboxRelay
from kafka_saga.client.outbox import postgres as on_postgres
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime import limits
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.codec import decode_trusted
from tests.brokers import BrokerUnderTest
from tests.client.conftest import Teller, order
from tests.client.outages import HOWS, How, Outage
from tests.client.shops import Shop, database, open_shop, shop
from tests.integration.processes import CLOCK, until
from tests.messaging.conftest import stoppable
from tests.postgres import breakable_server

__all__ = ["database", "shop", "stoppable"]

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]

AMOUNTS = range(1, 6)
"""Of each saga so many different requests are written, which must be published in this order."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that a test may break."""
    with breakable_server() as server:
        yield server


@pytest.fixture
async def fragile_shop(server: Server) -> AsyncIterator[Shop]:
    """On a server that a test may break."""
    async with open_shop(PostgresUrl(server.url)) as shop:
        yield shop


def relay_of(shop: Shop, teller: Teller) -> OutboxRelay:
    return OutboxRelay(shop.database, kafka=teller.settings, prefix=teller.topics.prefix)


class Customers:
    """They order without a pause: every order's saga is asked for several times, each time for more."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.written: list[str] = []
        self.is_closing = False

    async def work(self) -> None:
        while not self.is_closing:
            saga_id = f"o-{len(self.written)}"
            for amount in AMOUNTS:
                await self._write(saga_id, amount)
            self.written.append(saga_id)

    async def _write(self, saga_id: str, amount: int) -> None:
        while True:
            try:
                await self._shop.ask(order(saga_id, amount=amount))
            except (DBAPIError, asyncpg.PostgresError, OSError):  # the same once more, whether it was committed or not
                await CLOCK.sleep(50)
            else:
                return


async def published(teller: Teller) -> dict[str, list[int]]:
    """What was asked for by each saga's requests, in their order."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in await teller.requests():
        found[(record.key or b"").decode()].append(decode_trusted(record.value or b"")["amount"])
    return found


async def check(teller: Teller, written: list[str]) -> int:
    """Everything is there, first copies in order; how many copies came on top."""
    found = await published(teller)
    assert found.keys() == set(written)
    firsts = {saga_id: list(dict.fromkeys(amounts)) for saga_id, amounts in found.items()}
    assert {saga_id: amounts for saga_id, amounts in firsts.items() if amounts != [*AMOUNTS]} == {}
    return sum(map(len, found.values())) - len(written) * len(AMOUNTS)


@pytest.mark.parametrize("how", HOWS)
async def test_through_an_outage_of_kafka(
    shop: Shop, stoppable: BrokerUnderTest, teller: Teller, monkeypatch: pytest.MonkeyPatch, how: How
) -> None:
    for limit in ("PUBLISH_TIMEOUT_MS", "CONNECT_TIMEOUT_MS"):
        monkeypatch.setattr(limits, limit, 2_000)
    assert stoppable.process is not None
    outage, customers = Outage(stoppable.process, how), Customers(shop)
    working = asyncio.create_task(customers.work())
    async with relay_of(shop, teller) as one, relay_of(shop, teller) as two:
        await until("requests are published", lambda: one.published + two.published > 20)
        await outage.begin()
        await until("they wait for it", lambda: bool(one._said) and bool(two._said))
        so_far = len(customers.written)
        await until("orders are written meanwhile", lambda: len(customers.written) > so_far + 5)
        await outage.end()
        customers.is_closing = True
        await working
        await shop.emptied()
    await check(teller, customers.written)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_through_an_outage_of_postgresql(fragile_shop: Shop, server: Server, teller: Teller, mode: str) -> None:
    customers = Customers(fragile_shop)
    working = asyncio.create_task(customers.work())
    async with relay_of(fragile_shop, teller) as one, relay_of(fragile_shop, teller) as two:
        await until("requests are published", lambda: one.published + two.published > 20)
        await asyncio.to_thread(server.stop, mode)
        await until("they wait for it", lambda: bool(one._said) and bool(two._said))
        await asyncio.to_thread(server.start)
        await until("both go on", lambda: not one._said and not two._said)
        customers.is_closing = True
        await working
        await fragile_shop.emptied()
    await check(teller, customers.written)


async def test_a_relay_whose_session_hangs_makes_another_and_its_rows_are_published(
    fragile_shop: Shop, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_postgres, "POSTGRES_ANSWER_TIMEOUT_MS", 1_000)
    monkeypatch.setattr(on_postgres, "POSTGRES_CLOSE_TIMEOUT_MS", 300)
    connection = await asyncpg.connect(fragile_shop.database.secret_text)  # type: ignore[union-attr]
    async with relay_of(fragile_shop, teller) as relay:
        await fragile_shop.ask(order("o-1", amount=1))
        await fragile_shop.emptied()
        find = "SELECT pid FROM pg_stat_activity WHERE application_name = 'saga outbox relay'"
        hanging = await connection.fetchval(find)
        os.kill(hanging, signal.SIGSTOP)
        try:
            for amount in (2, 3, 4, 5):
                await fragile_shop.ask(order("o-1", amount=amount))
            await fragile_shop.emptied()
            assert relay.published >= 5
        finally:
            os.kill(hanging, signal.SIGCONT)
    await connection.close()
    await check(teller, ["o-1"])


async def test_a_relay_that_ends_in_the_middle_of_its_work_leaves_it_to_the_other(shop: Shop, teller: Teller) -> None:
    customers = Customers(shop)
    working = asyncio.create_task(customers.work())
    ending = relay_of(shop, teller)
    running = asyncio.create_task(ending.run(asyncio.Event()))
    await until("it publishes", lambda: ending.published > 20)
    async with relay_of(shop, teller) as lasting:
        running.cancel()
        await asyncio.wait({running})
        so_far = lasting.published
        await until("the other publishes", lambda: lasting.published > so_far + 20)
        customers.is_closing = True
        await working
        await shop.emptied()
    await check(teller, customers.written)


class Parcel(BaseModel):
    parcel: str
    label: str = ""


async def test_one_that_is_too_large_for_its_topic_waits_and_costs_no_other_saga_anything(
    shop: Shop, teller: Teller
) -> None:
    topic = teller.topics.requests("parcel")
    await create_topics(teller.settings, [TopicSpec(topic, 1, {"max.message.bytes": "2000"})])
    parcels = Outbox([SagaType("parcel", Parcel, "parcel")])
    requests = [Parcel(parcel=f"p-{number}", label="x" * 5_000 if number == 3 else "") for number in range(10)]
    requests.append(Parcel(parcel="p-3"))  # of the same saga: it must not overtake
    async with relay_of(shop, teller):
        await shop.ask(*requests, outbox=parcels)
        while await shop.count() > 2:
            await CLOCK.sleep(20)
        await shop.ask(Parcel(parcel="later"), outbox=parcels)
        while await shop.count() > 2:
            await CLOCK.sleep(20)
    keys = [(record.key or b"").decode() for record in await teller.requests("parcel")]
    assert keys == [*(f"p-{number}" for number in range(10) if number != 3), "later"], "each once"
