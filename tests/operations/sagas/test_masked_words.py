"""Looking for sagas by words that are hidden: what only the store has neither matches nor shortens a page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.acts.choosing import Wanted, choose
from kafka_saga.orchestrator.operations.sagas.paging import read_page
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store import reader as reader_module
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.envelope import Outcome
from tests.operations.conftest import Desk

REGISTRY = Registry([order_saga])
BY_CUSTOMER = [*["boxed at shelf 1 for"] * 4, *["for"] * 4]
"""What is said of the oldest and the newest sagas, before a customer whose name has a letter that is looked for."""


@pytest.fixture
async def reader(desk: Desk, at: StoreLocation, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreReader]:
    """Shows nobody a customer; two sagas are read at once."""
    monkeypatch.setattr(reader_module, "READ_AGAIN_ROWS", 2)
    for number, words in enumerate(BY_CUSTOMER, 1):
        await desk.world.begin(f"order-{number}", customer_id="xenia")
        desk.world.answer(desk.last("reserveItems"), Outcome.FAILURE, body={"error": f"{words} xenia"})
        await desk.world.turn(2)
    reader = await StoreReader.open(at, Masks([]))
    yield reader
    await reader.close()


async def test_a_page_is_full_though_the_newest_that_the_store_finds_do_not_say_so(
    desk: Desk, reader: StoreReader
) -> None:
    wanted = Filter(error="X", limit=3)
    first = await read_page(reader, wanted, None, desk.clock)
    second = await read_page(reader, wanted, first.cursor, desk.clock)

    assert [saga.ref.saga_id for saga in first.sagas] == ["order-4", "order-3", "order-2"]
    assert [saga.ref.saga_id for saga in second.sagas] == ["order-1"]
    assert second.cursor is None
    assert await reader.count(wanted) == 3


async def test_an_act_on_all_is_for_all_that_are_shown_to_say_so(
    reader: StoreReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.operations.acts.choosing.PAGE", 2)

    frozen = await choose(reader, REGISTRY, Wanted(Filter(error="x")))

    assert [one.ref.saga_id for one in frozen.chosen] == ["order-1", "order-2", "order-3", "order-4"]


@pytest.mark.parametrize("words", ["shelf 1 for ********", "for **", "*"])
async def test_what_hides_a_word_is_found_as_it_is_shown(reader: StoreReader, words: str) -> None:
    assert await reader.newest(Filter(error=words))


async def test_what_is_hidden_is_not_found(reader: StoreReader) -> None:
    assert await reader.newest(Filter(error="xenia")) == []
    asked = Filter(saga_type="order", data=("customer_id", "xenia"))
    for ask in (reader.newest(asked), reader.count(asked), reader.beginning_with("order-", asked)):
        with pytest.raises(UsageError, match="sensitive"):
            await ask
