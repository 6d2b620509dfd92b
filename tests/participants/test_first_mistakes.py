"""What goes wrong in the first hour inside a handler: each is answered with `retry`, and says what to write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from kafka_saga import Participant, Transaction
from kafka_saga.participants.testing import Harness
from kafka_saga.schemas.envelope import Outcome
from tests.participants.shop import SCHEMA, Do, Done

Behaviour = Callable[[Transaction], Awaitable[Any]]
INSERT = "INSERT INTO effects VALUES ('x', 'y', 'z')"


async def forgets_to_await(tx: Transaction) -> Any:
    tx.execute(INSERT)  # type: ignore[unused-coroutine]
    return Done(text="")


async def forgets_twice(tx: Transaction) -> Any:
    await tx.execute(INSERT)
    if not tx.execute(INSERT) or not tx.fetch_one("SELECT 1"):  # type: ignore[truthy-bool]
        return None
    return Done(text="")


async def leaves_a_task(tx: Transaction) -> Any:
    task = asyncio.create_task(tx.execute(INSERT))
    task.add_done_callback(lambda ended: ended.exception())
    return Done(text="")


async def returns_what_it_did_not_await(_tx: Transaction) -> Any:
    async def other() -> Done:
        return Done(text="")

    return other()


async def returns_nothing(_tx: Transaction) -> Any:
    return None


async def returns_a_dict(_tx: Transaction) -> Any:
    return {"text": ""}


async def misses_a_key(_tx: Transaction) -> Any:
    return {}["lamp"]


async def gives_no_tuple(tx: Transaction) -> Any:
    await tx.execute("SELECT ?", "order-1")


async def gives_a_secret(tx: Transaction) -> Any:
    await tx.execute("SELECT ?", (SecretStr("4111"),))


async def commits(tx: Transaction) -> Any:
    await tx.execute("COMMIT")


async def asks_no_table(tx: Transaction) -> Any:
    await tx.execute("INSERT INTO nowhere VALUES (1)")


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (forgets_to_await, "make.<locals>.do did not await 1 of its statements: write `await` before each"),
        (forgets_twice, "make.<locals>.do did not await 2 of its statements: write `await` before each"),
        (leaves_a_task, "make.<locals>.do did not await 1 of its statements: write `await` before each"),
        (returns_what_it_did_not_await, "returned something that it did not await: write `return await …`"),
        (returns_nothing, "make.<locals>.do returned nothing; its annotation says Done"),
        (returns_a_dict, "make.<locals>.do returned a dict; its annotation says Done"),
        (misses_a_key, "KeyError: 'lamp'"),
        (gives_no_tuple, "parameters stand in a tuple, a list or a dict, not in a str: write `(value,)`"),
        (gives_a_secret, "parameter 1 is of type SecretStr, which SQL does not take"),
        (commits, "the transaction belongs to the guard: raise Rejected"),
        (asks_no_table, "no such table: nowhere"),
    ],
)
async def test_a_mistake_in_a_handler_says_what_to_write_and_leaves_nothing(behave: Behaviour, said: str) -> None:
    async with await Harness.open(make(behave), schema=SCHEMA) as harness:
        reply = await harness.send(Do(), saga_id="order-1", step="pay")
        assert reply.outcome is Outcome.RETRY
        assert said in (reply.error or "")
        assert await harness.fetch_all("SELECT * FROM effects") == []


def make(behave: Behaviour) -> Participant:
    shop = Participant("shop")

    @shop.action(Do)
    async def do(_command: Do, tx: Transaction) -> Done:
        return await behave(tx)  # type: ignore[no-any-return]

    return shop


async def test_statements_that_run_side_by_side_are_awaited() -> None:
    async def gathers(tx: Transaction) -> Any:
        await asyncio.gather(*(tx.execute(INSERT) for _ in range(100)))
        return Done(text="")

    async with await Harness.open(make(gathers), schema=SCHEMA) as harness:
        assert (await harness.send(Do(), saga_id="order-1", step="pay")).outcome is Outcome.SUCCESS
        assert await harness.fetch_all("SELECT count(*) FROM effects") == [(100,)]


async def test_a_statement_after_the_handlers_end_is_refused() -> None:
    kept: list[Transaction] = []

    async def keeps(tx: Transaction) -> Any:
        kept.append(tx)
        return Done(text="")

    async with await Harness.open(make(keeps), schema=SCHEMA) as harness:
        await harness.send(Do(), saga_id="order-1", step="pay")
        with pytest.raises(Exception, match="the transaction is over"):
            await kept[0].execute(INSERT)
