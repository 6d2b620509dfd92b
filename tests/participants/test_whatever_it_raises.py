"""Whatever a handler raises costs its own command only: its neighbours keep what they did (R57)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.testing import Harness
from kafka_saga.participants.transaction import Transaction
from kafka_saga.schemas.envelope import Outcome

SCHEMA = "CREATE TABLE done (order_id TEXT)"


class Do(BaseModel):
    order_id: str


class Call(BaseModel):
    order_id: str


class Ok(BaseModel):
    word: str = "well"


class OddError(Exception):
    def __str__(self) -> str:
        raise KeyError("nothing of that name")


class Mute:
    def __str__(self) -> str:
        raise TypeError("no words")


def leave() -> None:
    sys.exit("no such item")


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def participant(act: Callable[[], None]) -> Participant:
    """It fails for the order `bad`, and for no other."""
    stock = Participant("stock")

    @stock.action(Do)
    async def do(command: Do, tx: Transaction) -> Ok:
        await tx.execute("INSERT INTO done VALUES (?)", (command.order_id,))
        if command.order_id == "bad":
            act()
        return Ok()

    @stock.external_action(Call)
    async def call(command: Call, _idempotency_key: str) -> Ok:
        if command.order_id == "bad":
            act()
        return Ok()

    return stock


REFUSALS: list[Any] = [
    (Rejected("sold out"), "sold out"),
    (Rejected(ValueError("no such item")), "no such item"),
    (Rejected(KeyError("sku")), "KeyError: 'sku'"),
    (Rejected(7), "7"),
    (Rejected(""), "rejected without a reason"),
    (Rejected(None), "None"),
    (Rejected(OddError()), "OddError"),
    (Rejected(Mute()), "Mute"),
]
FAILURES: list[Any] = [
    (raising(OddError()), "OddError"),
    (leave, "no such item"),
    (raising(SystemExit(3)), "3"),
    (raising(BaseException("of the lowest class")), "of the lowest class"),
    (raising(ExceptionGroup("both", [ValueError("one"), OddError()])), "both (2 sub-exceptions)"),
    (raising(StopAsyncIteration("over")), "over"),
    (raising(MemoryError()), "MemoryError"),
    (raising(RecursionError("too deep")), "too deep"),
]


@pytest.mark.parametrize(("error", "words"), REFUSALS)
async def test_anything_can_be_said_in_a_refusal(error: Rejected, words: str) -> None:
    for model in (Do, Call):
        async with await Harness.open(participant(raising(error)), schema=SCHEMA) as harness:
            reply = await harness.send(model(order_id="bad"), saga_id="bad", step="first")
        assert (reply.outcome, reply.error) == (Outcome.FAILURE, words)


@pytest.mark.parametrize(("act", "words"), FAILURES)
async def test_anything_can_be_raised_by_a_handler(act: Callable[[], None], words: str) -> None:
    async with await Harness.open(participant(act), schema=SCHEMA) as harness:
        commands = [harness.command(Do(order_id=name), saga_id=name, step="first") for name in ("a", "bad", "b")]
        handled = await harness.handle(commands)
        assert await harness.fetch_all("SELECT order_id FROM done") == [("a",), ("b",)]
    replies = [one.reply for one in handled if one.reply is not None]
    assert [reply.outcome for reply in replies] == [Outcome.SUCCESS, Outcome.RETRY, Outcome.SUCCESS]
    assert replies[1].error == words


@pytest.mark.parametrize(("act", "words"), FAILURES)
async def test_anything_can_be_raised_by_a_call_to_the_outside(act: Callable[[], None], words: str) -> None:
    async with await Harness.open(participant(act), schema=SCHEMA) as harness:
        reply = await harness.send(Call(order_id="bad"), saga_id="bad", step="first")
    assert (reply.outcome, reply.error) == (Outcome.RETRY, words)


async def test_who_stops_the_process_from_the_keyboard_stops_it() -> None:
    async with await Harness.open(participant(raising(KeyboardInterrupt())), schema=SCHEMA) as harness:
        with pytest.raises(KeyboardInterrupt):
            await harness.handle([harness.command(Do(order_id="bad"), saga_id="bad", step="first")])
