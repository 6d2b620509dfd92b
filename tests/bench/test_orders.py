from __future__ import annotations

import itertools
from collections import Counter

import orjson
import pytest

from bench.orders import COMPENSATED, SUCCEED, Mix, order_id, requests
from kafka_saga.participants.services import read_seed
from kafka_saga.schemas.orders import OrderRequested


def test_every_order_is_a_valid_request_whose_key_is_its_id() -> None:
    for key, value in requests("run", 500, COMPENSATED):
        order = OrderRequested.model_validate_json(value)
        assert order.order_id.encode() == key


def test_ids_are_unique_equally_long_and_in_no_order() -> None:
    ids = [order_id("run", number) for number in range(50_000)]

    assert len(set(ids)) == len(ids)
    assert {len(one) for one in ids} == {len("run-") + 8}
    rising = sum(later > earlier for earlier, later in itertools.pairwise(ids))
    assert 0.3 < rising / len(ids) < 0.7


def test_the_orders_of_two_loads_of_one_run_are_different() -> None:
    first = {key for key, _ in requests("run", 100, SUCCEED)}
    second = {key for key, _ in requests("run", 100, SUCCEED, first=100)}

    assert first.isdisjoint(second)


@pytest.mark.parametrize(
    ("mix", "expected"), [(SUCCEED, {None: 1_000}), (COMPENSATED, {None: 800, "sold_out": 100, "declined": 100})]
)
def test_a_mix_refuses_as_many_orders_as_it_says(mix: Mix, expected: dict[str | None, int]) -> None:
    assert Counter(mix.refusal(number) for number in range(1_000)) == expected
    assert mix.compensated(1_000) == 1_000 - expected[None]
    assert mix.compensated(10) + mix.compensated(990, first=10) == mix.compensated(1_000)


def test_the_shipped_seed_refuses_exactly_the_orders_that_the_mix_means() -> None:
    seed = read_seed()
    balances = {account.customer_id: account.balance for account in seed.accounts if account.currency == "EUR"}

    for number, (_, value) in enumerate(requests("run", 1_000, COMPENSATED)):
        body = orjson.loads(value)
        in_stock = seed.stock[body["items"][0]["sku"]] > 1_000_000
        can_pay = balances[body["customer_id"]] > 1_000_000
        refusal = COMPENSATED.refusal(number)
        assert (in_stock, can_pay) == (refusal != "sold_out", refusal != "declined")
