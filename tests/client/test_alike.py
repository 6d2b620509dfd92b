"""The client on a broker and the one in memory answer alike: what a service is tested with is what it meets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from kafka_saga.client import Sagas
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.orders import (
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    ReserveItems,
)
from kafka_saga.testing import InMemorySagas
from tests.client.conftest import client_of, order

ANSWERS = {
    ReserveItems: ItemsReserved(reservation_id="r-1"),
    ChargePayment: PaymentCharged(charge_id="c-1"),
    CreateOrder: OrderCreated(order_number="n-1"),
}


@pytest.fixture(params=["in memory", pytest.param("on a broker", marks=pytest.mark.kafka)])
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Sagas]:
    if request.param == "in memory":
        return nullcontext(InMemorySagas(order_saga, answers=ANSWERS))
    return client_of(request.getfixturevalue("teller"), types=[order_saga])


@pytest.fixture
async def either(opening: AbstractAsyncContextManager[Sagas]) -> AsyncIterator[Sagas]:
    async with opening as sagas:
        yield sagas


async def test_many_are_started_in_order(either: Sagas) -> None:
    asked = [order("o-2"), order("o-1").model_dump(), order("o-2")]

    assert await either.start_many(asked) == [SagaRef("order", name) for name in ("o-2", "o-1", "o-2")]


async def test_of_many_the_one_that_does_not_fit_is_numbered(either: Sagas) -> None:
    with pytest.raises(UsageError, match=r"^request 2: this request does not start a saga 'order': .*amount"):
        await either.start_many([order("o-1"), {**order("o-2").model_dump(), "amount": "much"}])


async def test_an_id_that_is_none_is_refused(either: Sagas) -> None:
    with pytest.raises(UsageError) as started:
        await either.start(order("o-1"), saga_id="o-2")
    with pytest.raises(Exception, match="saga id") as awaited:
        await either.outcome("no id", timeout_ms=1)

    assert str(started.value) == "the request's order_id is o-1, not o-2"
    assert type(awaited.value).__name__ == "ContractError"


@pytest.mark.parametrize("actor", ["", " ", "ann\nbob", "a" * 501])
async def test_an_actor_is_one_line(either: Sagas, actor: str) -> None:
    with pytest.raises(UsageError, match=r"^actor says who asks, in one line of at most 500 characters$"):
        await either.start(order("o-1"), actor=actor)


async def test_who_asked_is_known_in_memory() -> None:
    sagas = InMemorySagas(order_saga, answers=ANSWERS)

    ref = (await sagas.run(order("o-1"), actor="ann@shop")).ref

    assert sagas.actors == {ref: "ann@shop"}


async def test_nothing_is_started_where_one_of_many_does_not_fit() -> None:
    sagas = InMemorySagas(order_saga, answers=ANSWERS)

    with pytest.raises(UsageError):
        await sagas.start_many([order("o-1"), {"order_id": "o-2"}])

    assert not sagas.stories
