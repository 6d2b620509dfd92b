"""Whatever a handler raises costs its own command only: its neighbours keep what they did (R57)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import pytest
from pydantic import BaseModel, model_validator

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.testing import Harness
from kafka_saga.participants.transaction import Transaction
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.keyboard import handled
from kafka_saga.schemas.codec import decode_model
from kafka_saga.schemas.envelope import Outcome

SCHEMA = "CREATE TABLE done (order_id TEXT)"


class Do(BaseModel):
    order_id: str


class Call(BaseModel):
    order_id: str


class Ok(BaseModel):
    word: str = "well"


class Interrupting(BaseModel):
    word: str = "well"

    @model_validator(mode="after")
    def stop(self) -> Self:
        raise KeyboardInterrupt("stop")


class OddError(Exception):
    def __str__(self) -> str:
        raise KeyError("nothing of that name")


class LeavingError(Exception):
    def __str__(self) -> str:
        leave()
        return ""


class BareRejected(Rejected):
    def __init__(self) -> None:
        """Say nothing, not even to the class above."""


class NumberRejected(Rejected):
    def __init__(self) -> None:
        self.message = 7  # type: ignore[assignment] # who does not use mypy


class Untraceable(Exception):  # noqa: N818 -- nothing about it is as it should be
    __notes__ = 7  # type: ignore[assignment] # nor here

    @property
    def __traceback__(self) -> None:  # type: ignore[override]
        raise KeyError("nothing of that name")

    def __str__(self) -> str:
        return Uncuttable("out of order")


class Uncuttable(str):
    __slots__ = ()

    def __getitem__(self, _: Any) -> str:
        raise KeyError("not to be cut")


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
    (Rejected(LeavingError()), "LeavingError"),
    (Rejected(Uncuttable("whole")), "whole"),
    (BareRejected(), "BareRejected"),
    (NumberRejected(), "7"),
]
FAILURES: list[Any] = [
    (raising(OddError()), "OddError"),
    (raising(LeavingError()), "LeavingError"),
    (raising(Untraceable()), "out of order"),
    (leave, "no such item"),
    (raising(SystemExit(3)), "3"),
    (raising(BaseException("of the lowest class")), "of the lowest class"),
    (raising(ExceptionGroup("both", [ValueError("one"), OddError()])), "both (2 sub-exceptions)"),
    (raising(StopAsyncIteration("over")), "over"),
    (raising(MemoryError()), "MemoryError"),
    (raising(RecursionError("too deep")), "too deep"),
    (raising(GeneratorExit("closed")), "the handler raised GeneratorExit"),
    (raising(asyncio.CancelledError()), "cancelled by its own"),
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
    assert words in (replies[1].error or "")


@pytest.mark.parametrize(("act", "words"), FAILURES)
async def test_anything_can_be_raised_by_a_call_to_the_outside(act: Callable[[], None], words: str) -> None:
    async with await Harness.open(participant(act), schema=SCHEMA) as harness:
        reply = await harness.send(Call(order_id="bad"), saga_id="bad", step="first")
    assert reply.outcome is Outcome.RETRY
    assert words in (reply.error or "")


async def test_who_stops_the_process_from_the_keyboard_stops_it() -> None:
    async with await Harness.open(participant(raising(KeyboardInterrupt())), schema=SCHEMA) as harness:
        with pytest.raises(KeyboardInterrupt):
            await harness.handle([harness.command(Do(order_id="bad"), saga_id="bad", step="first")])


async def test_in_a_process_of_ours_that_word_is_an_exception_like_any_other() -> None:
    with handled():
        await that_word_is_an_answer()


async def that_word_is_an_answer() -> None:
    for model in (Do, Call):
        async with await Harness.open(participant(raising(KeyboardInterrupt("stop"))), schema=SCHEMA) as harness:
            reply = await harness.send(model(order_id="bad"), saga_id="bad", step="first")
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "stop")
    with pytest.raises(ContractError, match="KeyboardInterrupt: stop"):
        decode_model(Interrupting, b"{}")


def cancel_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("first", [False, True])
async def test_a_handler_that_cancels_the_task_it_runs_in_costs_itself_only(
    *, first: bool, waits: bool, swallows: bool
) -> None:
    stock = Participant("stock")

    @stock.action(Do)
    async def do(command: Do, tx: Transaction) -> Ok:
        await tx.execute("INSERT INTO done VALUES (?)", (command.order_id,))
        if not first:
            await moment()
        if command.order_id == "bad":
            cancel_own_task()
            if waits:
                with suppress(asyncio.CancelledError if swallows else KeyError):
                    await moment()
        return Ok()

    async with await Harness.open(stock, schema=SCHEMA) as harness:
        commands = [harness.command(Do(order_id=name), saga_id=name, step="first") for name in ("a", "bad", "b")]
        handled = await harness.handle(commands)
        assert await harness.fetch_all("SELECT order_id FROM done") == [("a",), ("b",)]
    assert [one.reply and one.reply.outcome for one in handled] == [Outcome.SUCCESS, Outcome.RETRY, Outcome.SUCCESS]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("waits", [False, True])
async def test_a_call_that_cancels_the_task_it_runs_in_is_answered(*, waits: bool) -> None:
    stock = Participant("stock")

    @stock.external_action(Call)
    async def call(_command: Call, _idempotency_key: str) -> Ok:
        cancel_own_task()
        if waits:
            await moment()
        return Ok()

    async with await Harness.open(stock, schema=SCHEMA) as harness:
        reply = await harness.send(Call(order_id="bad"), saga_id="bad", step="first")
    assert reply.outcome is (Outcome.RETRY if waits else Outcome.SUCCESS)


async def test_who_cancels_a_handler_from_outside_ends_it_even_where_it_cancels_itself() -> None:
    stock, reached = Participant("stock"), asyncio.Event()

    @stock.action(Do)
    async def do(_command: Do, _tx: Transaction) -> Ok:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancel_own_task()
        return Ok()

    async with await Harness.open(stock, schema=SCHEMA) as harness:
        command = harness.command(Do(order_id="bad"), saga_id="bad", step="first")
        handling = asyncio.create_task(harness.handle([command]))
        await reached.wait()
        handling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handling


async def moment() -> None:
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn
