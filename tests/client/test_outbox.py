"""Requests in the caller's own transaction, on PostgreSQL and on SQLite, and the relay that publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from kafka_saga.client import SagaType
from kafka_saga.client.outbox import Outbox, OutboxRelay, ddl
from kafka_saga.client.outbox.postgres import PostgresOutbox
from kafka_saga.client.outbox.rows import OutboxRow
from kafka_saga.client.outbox.table import row_id
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.runtime.errors import BrokerUnavailableError, StoreRefusedError, UsageError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.ids import SagaRef
from tests.client.conftest import Teller, order
from tests.client.shops import OUTBOX, Shop, database, shop
from tests.integration.processes import CLOCK, until

__all__ = ["database", "shop"]


class TripRequested(BaseModel):
    trip: str


TRIPS = Outbox([SagaType("trip", TripRequested, "trip")])


class Noted(Producer):
    """A producer that remembers what it was given, and says no when it is told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.errors: list[BaseException] = []

    async def publish(self, messages: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.messages += messages

    async def stop(self) -> None:
        return

    @property
    def keys(self) -> list[bytes | None]:
        return [message.key for message in self.messages]


def relay_of(shop: Shop, **options: Any) -> tuple[OutboxRelay, Noted]:
    relay, producer = OutboxRelay(shop.database, **options), Noted()
    relay._producer = producer
    return relay, producer


async def test_the_order_and_its_saga_are_written_together_or_not_at_all(shop: Shop) -> None:
    with pytest.raises(RuntimeError):
        await shop.place("o-1", fails=True)
    assert (await shop.count(), await shop.count("SELECT count(*) FROM orders")) == (0, 0)
    await shop.place("o-1")
    assert (await shop.count(), await shop.count("SELECT count(*) FROM orders")) == (1, 1)
    async with shop.engine.begin() as connection:
        assert await OUTBOX.start(connection, order("o-1")) == SagaRef("order", "o-1")
    assert await shop.count() == 1, "the same request once more is the same row"


async def test_what_is_written_is_published_in_its_order_and_then_gone(shop: Shop) -> None:
    await shop.place(*[f"o-{number}" for number in range(500)])
    relay, producer = relay_of(shop, prefix="shop.")
    async with relay:
        await shop.emptied()
        await shop.place("late")
        await until("the late one is published", lambda: producer.keys[-1:] == [b"late"])
    assert producer.keys == [*(b"o-%d" % number for number in range(500)), b"late"]
    first = producer.messages[0]
    assert first.topic == "shop.order.requests"
    assert dict(first.headers)["ce_id"].decode() == row_id(SagaRef("order", "o-0"), first.value or b"")
    assert relay.published == 501


async def test_while_kafka_is_away_everything_waits_and_nothing_is_lost(shop: Shop) -> None:
    await shop.place("o-1", "o-2")
    relay, producer = relay_of(shop)
    producer.errors = [BrokerUnavailableError("no broker"), BrokerUnavailableError("no broker")]
    async with relay:
        await until("both are published", lambda: len(producer.keys) == 2)
    assert (producer.keys, await shop.count()) == ([b"o-1", b"o-2"], 0)


async def test_what_a_topic_refuses_stays_and_costs_the_others_nothing(shop: Shop) -> None:
    await shop.place("o-1")
    async with shop.engine.begin() as connection:
        await TRIPS.start(connection, TripRequested(trip="t-1"))
    relay, producer = relay_of(shop)
    producer.errors = [PublishRefusedError("order.requests", "unknown_topic", "it does not exist", ())]
    async with relay:
        await until("the other is published", lambda: producer.keys == [b"t-1"])
    assert await shop.count() == 1


async def test_a_database_without_the_table_is_refused_with_the_way_out(shop: Shop) -> None:
    with pytest.raises(StoreRefusedError, match="saga outbox ddl --"):
        async with OutboxRelay(shop.database, table="other_outbox"):
            pass


async def test_a_second_relay_helps_or_takes_over(shop: Shop) -> None:
    (first, one), (second, two) = relay_of(shop), relay_of(shop)
    async with second:
        async with first:
            await shop.place(*[f"o-{number}" for number in range(300)])
            await until("all are published", lambda: len({*one.keys, *two.keys}) == 300)
            await shop.emptied()
        await shop.place("last")
        await until("who is left goes on", lambda: b"last" in {*one.keys, *two.keys})
    assert len(one.keys) + len(two.keys) == 301, "none twice"


async def test_two_of_one_saga_are_never_in_two_hands(postgres_url: PostgresUrl) -> None:
    connection = await asyncpg.connect(postgres_url.secret_text)
    await connection.execute(ddl("postgresql"))
    async with connection.transaction():
        for amount in (1, 2):
            await OUTBOX.start(connection, order("o-1", amount=amount))
        await OUTBOX.start(connection, order("o-2"))
    await connection.close()
    one, two = PostgresOutbox(postgres_url, "saga_outbox"), PostgresOutbox(postgres_url, "saga_outbox")
    await one.open()
    await two.open()
    taken: list[list[str]] = []
    has_them, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        taken.append([row.saga_id for row in rows])
        has_them.set()
        await may_go_on.wait()
        return rows

    relaying = asyncio.create_task(one.relay(slowly, (), 10))
    await has_them.wait()
    assert await two.relay(slowly, (), 10) == 0, "the second of o-1 waits for the first"
    may_go_on.set()
    assert (await relaying, await two.relay(slowly, (), 10)) == (2, 1)
    assert taken == [["o-1", "o-2"], ["o-1"]]
    await one.close()
    await two.close()


async def test_a_connection_that_is_lost_is_made_anew(postgres_url: PostgresUrl) -> None:
    connection = await asyncpg.connect(postgres_url.secret_text)
    await connection.execute(ddl("postgresql"))
    relay, producer = OutboxRelay(postgres_url), Noted()
    relay._producer = producer
    async with relay:
        sessions = "FROM pg_stat_activity WHERE application_name = 'saga outbox relay'"
        while not await connection.fetchval(f"SELECT count(*) {sessions}"):
            await CLOCK.sleep(20)
        await connection.fetch(f"SELECT pg_terminate_backend(pid) {sessions}")
        async with connection.transaction():
            await OUTBOX.start(connection, order("o-1"))
        await until("it goes on", lambda: producer.keys == [b"o-1"])
    await connection.close()


async def test_what_is_no_transaction_is_refused(postgres_url: PostgresUrl) -> None:
    connection = await asyncpg.connect(postgres_url.secret_text)
    with pytest.raises(UsageError, match="has none open"):
        await OUTBOX.start(connection, order("o-1"))
    with pytest.raises(UsageError, match="is none"):
        await OUTBOX.start(object(), order("o-1"))  # type: ignore[arg-type]
    async with connection.transaction():
        with pytest.raises(UsageError, match="amount"):
            await OUTBOX.start(connection, order("o-1").model_copy(update={"amount": -1}))
    await connection.close()


@pytest.mark.parametrize("name", ["Outbox", "outbox; DROP TABLE orders", "a.b.c", ""])
def test_a_tables_name_needs_no_quotes(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for the outbox table"):
        Outbox(table=name)


@pytest.mark.kafka
async def test_through_a_real_broker(shop: Shop, teller: Teller) -> None:
    await shop.place("o-1", "o-2")
    async with OutboxRelay(shop.database, kafka=teller.settings, prefix=teller.topics.prefix):
        await shop.emptied()
    assert {record.key for record in await teller.requests()} == {b"o-1", b"o-2"}
