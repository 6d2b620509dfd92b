"""The shipped services: what a random history of commands must leave behind (I3, I4, I8, I9)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from kafka_saga.participants.outcomes import Reply
from kafka_saga.participants.services import SERVICES, Seed, SeedAccount, read_seed
from kafka_saga.participants.testing import Harness, body_of
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.envelope import Effect, Outcome
from kafka_saga.schemas.orders import (
    CancelOrder,
    ChargePayment,
    CreateOrder,
    OrderItem,
    RefundPayment,
    ReleaseItems,
    ReserveItems,
)
from tests.participants.adapters import new_schema
from tests.postgres import PostgresUnderTest

SEED = Seed(
    stock={"lamp": 6, "chair": 3},
    accounts=[
        SeedAccount(customer_id="alice", currency="EUR", balance=1_000),
        SeedAccount(customer_id="carol", currency="USD", balance=300),
    ],
)


async def opened(name: str, database: str | PostgresUrl = ":memory:") -> Harness:
    service = SERVICES[name]
    return await Harness.open(service.participant, prepare=partial(service.prepare, seed=SEED), database=database)


@dataclass(frozen=True)
class Sent:
    """One command of a random history; the same one may come again."""

    order: int
    undo: bool
    epoch: int

    @property
    def order_id(self) -> str:
        return f"order-{self.order}"


# Few orders and few epochs, so that commands meet each other: duplicates, late actions, early compensations.
HISTORIES = st.lists(st.builds(Sent, st.integers(0, 4), st.booleans(), st.integers(1, 2)), min_size=1, max_size=40)
BATCHES = st.integers(1, 8)


def model_of(service: str, sent: Sent) -> BaseModel:
    # What an order asks for depends on the order alone: a command id has one payload for ever (I13).
    size = sent.order + 1
    items = [OrderItem(sku="lamp", quantity=size), OrderItem(sku="chair", quantity=1)]
    customer, currency = ("alice", "EUR") if sent.order % 2 else ("carol", "USD")
    order_id, amount = sent.order_id, 120 * size
    match service, sent.undo:
        case "inventory", False:
            return ReserveItems(order_id=order_id, items=items)
        case "inventory", True:
            return ReleaseItems(order_id=order_id)
        case "payment", False:
            return ChargePayment(order_id=order_id, customer_id=customer, amount=amount, currency=currency)
        case "payment", True:
            return RefundPayment(order_id=order_id)
        case _, False:
            return CreateOrder(
                order_id=order_id,
                customer_id=customer,
                items=items,
                amount=amount,
                currency=currency,
                reservation_id="r",
                charge_id="c",
            )
        case _:
            return CancelOrder(order_id=order_id)


async def play(harness: Harness, service: str, history: Sequence[Sent], batch_size: int) -> dict[str, list[Reply]]:
    """Send the history in batches; the replies per command id."""
    replies: dict[str, list[Reply]] = {}
    for start in range(0, len(history), batch_size):
        commands = [
            harness.command(model_of(service, sent), saga_id=sent.order_id, step="step", epoch=sent.epoch)
            for sent in history[start : start + batch_size]
        ]
        for handled in await harness.handle(commands):
            assert handled.reply is not None
            replies.setdefault(handled.command.head.command_id, []).append(handled.reply)
    return replies


TABLES = {
    "inventory": ("reservations", "status = 'held'", "releases"),
    "payment": ("charges", "status = 'charged'", "refunds"),
    "orders": ("orders", "status = 'created'", "cancellations"),
}


async def check_effects(harness: Harness, service: str, replies: dict[str, list[Reply]]) -> None:
    table, is_standing, undone = TABLES[service]
    rows = await harness.fetch_all(f"SELECT saga_id, {is_standing}, {undone} FROM {table}")
    assert len({saga_id for saga_id, *_ in rows}) == len(rows), "an action took effect twice (I3)"
    fence = dict(await harness.fetch_all("SELECT saga_id, status FROM saga_fence"))
    for saga_id, stands, undone_count in rows:
        assert undone_count <= 1, "a compensation took effect twice (I3)"
        assert bool(stands) == (undone_count == 0)
        assert fence[saga_id] == ("done" if stands else "compensated")
    assert {saga_id for saga_id, status in fence.items() if status in {"done", "compensated"}} == {r[0] for r in rows}
    for command_id, answers in replies.items():
        done = [answer for answer in answers if answer.outcome is Outcome.SUCCESS and answer.effect is Effect.DONE]
        assert len(set(done)) <= 1, f"{command_id} was answered in two ways: {done}"
        if done:
            assert command_id.split("/")[1] in {row[0] for row in rows}, "a success without an effect (I4)"


@pytest.mark.parametrize("service", SERVICES)
@given(history=HISTORIES, batch_size=BATCHES)
@settings(max_examples=120, deadline=None)
async def test_any_history_takes_effect_at_most_once_and_conserves(
    service: str, history: list[Sent], batch_size: int
) -> None:
    async with await opened(service) as harness:
        replies = await play(harness, service, history, batch_size)
        await check_effects(harness, service, replies)
        await check_conservation(harness, service)


async def check_conservation(harness: Harness, service: str) -> None:
    if service == "inventory":
        held: dict[str, int] = {}
        for (items,) in await harness.fetch_all("SELECT items FROM reservations WHERE status = 'held'"):
            for item in json.loads(items):
                held[item["sku"]] = held.get(item["sku"], 0) + item["quantity"]
        for sku, initial, available in await harness.fetch_all("SELECT * FROM stock"):
            assert initial == SEED.stock[sku]
            assert available >= 0
            assert available + held.get(sku, 0) == initial
    if service == "payment":
        sql = "SELECT customer_id, sum(amount) FROM charges WHERE status = 'charged' GROUP BY customer_id"
        charged = dict(await harness.fetch_all(sql))
        for customer_id, _, initial, balance in await harness.fetch_all("SELECT * FROM accounts"):
            assert balance >= 0
            assert balance + charged.get(customer_id, 0) == initial


async def test_stock_that_is_not_there_is_refused_and_nothing_of_the_order_is_kept() -> None:
    async with await opened("inventory") as harness:
        items = [OrderItem(sku="lamp", quantity=6), OrderItem(sku="chair", quantity=4)]
        reply = await harness.send(ReserveItems(order_id="o", items=items), saga_id="o", step="reserve_inventory")
        assert (reply.outcome, reply.error) == (Outcome.FAILURE, "out of stock: chair (4 wanted, 3 left)")
        assert await harness.fetch_all("SELECT sku, available FROM stock ORDER BY sku") == [("chair", 3), ("lamp", 6)]
        unknown = ReserveItems(order_id="p", items=[OrderItem(sku="unicorn", quantity=1)])
        reply = await harness.send(unknown, saga_id="p", step="reserve_inventory")
        assert reply.error == "out of stock: unicorn is not in the catalogue"


@pytest.mark.parametrize(
    ("customer", "amount", "currency", "error"),
    [
        ("alice", 1_001, "EUR", "card declined: the balance is too low"),
        ("alice", 10, "USD", "card declined: the account is in EUR, not in USD"),
        ("nobody", 10, "EUR", "card declined: no account of customer nobody"),
    ],
)
async def test_a_card_is_declined(customer: str, amount: int, currency: str, error: str) -> None:
    async with await opened("payment") as harness:
        charge = ChargePayment(order_id="o", customer_id=customer, amount=amount, currency=currency)
        reply = await harness.send(charge, saga_id="o", step="process_payment")
        assert (reply.outcome, reply.error) == (Outcome.FAILURE, error)
        assert await harness.fetch_all("SELECT sum(balance) FROM accounts") == [(1_300,)]


async def test_replies_name_what_was_made() -> None:
    expected = {
        "inventory": {"reservation_id": "res-order-1"},
        "payment": {"charge_id": "ch-order-1"},
        "orders": {"order_number": "ORD-000001"},
    }
    for name, body in expected.items():
        async with await opened(name) as harness:
            sent = Sent(order=1, undo=False, epoch=1)
            assert body_of(await harness.send(model_of(name, sent), saga_id="order-1", step="step")) == body


@pytest.mark.parametrize("service", SERVICES)
async def test_something_that_a_person_removed_cannot_be_undone_and_parks_the_saga(service: str) -> None:
    """R18: `failure` of a compensation."""
    async with await opened(service) as harness:
        sent = Sent(order=1, undo=False, epoch=1)
        await harness.send(model_of(service, sent), saga_id="order-1", step="step")
        await harness.run_script(f"DELETE FROM {TABLES[service][0]}")
        undo = model_of(service, Sent(order=1, undo=True, epoch=1))
        reply = await harness.send(undo, saga_id="order-1", step="step")
        assert reply.outcome is Outcome.FAILURE
        assert "order-1" in (reply.error or "")


async def test_seeding_again_changes_nothing() -> None:
    async with await opened("payment") as harness:
        charge = ChargePayment(order_id="o", customer_id="alice", amount=400, currency="EUR")
        await harness.send(charge, saga_id="o", step="process_payment")
        await harness.prepare(lambda connection: SERVICES["payment"].prepare(connection, SEED))
        assert await harness.fetch_all("SELECT balance FROM accounts WHERE customer_id = 'alice'") == [(600,)]


def test_the_shipped_seed_has_plenty_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    assert read_seed().stock["lamp"] > 10**6
    assert {account.currency for account in read_seed().accounts} >= {"EUR", "USD"}
    path = tmp_path / "seed.json"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_seed(path)
    path.write_text('{"stock": {"lamp": "many"}}')
    with pytest.raises(ConfigError, match=r"stock\.lamp"):
        read_seed(path)


@pytest.mark.parametrize("service", SERVICES)
async def test_the_services_run_on_postgresql_too(service: str, postgres: PostgresUnderTest) -> None:
    history = [Sent(order, undo, epoch) for epoch in (1, 2) for undo in (False, True) for order in (0, 1, 2, 3, 1)]
    late = [Sent(4, True, 1), Sent(4, False, 1), Sent(0, False, 2)]
    async with await opened(service, await new_schema(postgres)) as harness:
        replies = await play(harness, service, history + late, 7)
        await check_effects(harness, service, replies)
        await check_conservation(harness, service)
        await harness.prepare(partial(SERVICES[service].prepare, seed=SEED))  # as every start does
        await check_conservation(harness, service)
