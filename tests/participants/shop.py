"""A participant for tests: its commands say how their handlers behave, and every effect leaves a row."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, get_type_hints

import asyncpg
import sqlalchemy
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from kafka_saga import Participant, Rejected, Transaction
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.transaction import CommandContext
from kafka_saga.runtime.sql_text import numbered

SCHEMA = """
CREATE TABLE effects (saga_id TEXT, step TEXT, kind TEXT);
CREATE TABLE numbers (n INTEGER CHECK (n > 0));
"""

SLOW: list[str] = []
"""The sagas whose handler has written its effect, and waits for ever."""

Mode = Literal["ok", "reject", "raise", "slow", "huge", "constraint", "cancelled"]


class Do(BaseModel):
    mode: Mode = "ok"


class Done(BaseModel):
    text: str


class Undo(BaseModel):
    mode: Mode = "ok"


class Call(BaseModel):
    mode: Mode = "ok"


class Called(BaseModel):
    key: str


class Uncall(BaseModel):
    pass


class Refund(BaseModel):
    """An undoing that is a call itself."""


class Refunded(BaseModel):
    key: str


def effect_of(tx: Transaction, kind: str) -> tuple[str, tuple[str, str, str]]:
    return "INSERT INTO effects VALUES (?, ?, ?)", (tx.saga_id, tx.step, kind)


async def behave(mode: Mode, tx: Transaction) -> Done:
    match mode:
        case "reject":
            raise Rejected("Database connection failed")
        case "raise":
            raise ValueError("it broke")
        case "slow":
            SLOW.append(tx.saga_id)
            await asyncio.Event().wait()
        case "huge":
            return Done(text="x" * 300_000)
        case "constraint":
            await tx.execute("INSERT INTO numbers VALUES (-1)")
        case "cancelled":
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        case "ok":
            pass
    return Done(text="well")


class Outside:
    """The card processor: it remembers keys, as R17 asks for."""

    def __init__(self) -> None:
        self.mode: Mode = "ok"
        self.calls: list[str] = []
        self.charged: set[str] = set()
        self.gate: asyncio.Event | None = None
        self.began = asyncio.Event()
        self.open = 0
        self.open_max = 0

    async def call(self, key: str) -> Called:
        self.calls.append(key)
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        self.began.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.open -= 1
        if self.mode == "reject":
            raise Rejected("card declined")
        if self.mode == "raise":
            raise ConnectionError("no answer from the bank")
        self.charged.add(key)
        return Called(key=key)


class Written:
    """What a handler does with what it is given, whatever that is: the shop's handlers are the same for all kinds."""

    def __init__(self, kind: Kind, given: Any, context: CommandContext) -> None:
        self.kind, self.given = kind, given
        self.saga_id, self.step = context.saga_id, context.step

    async def execute(self, sql: str, params: tuple[Any, ...] = ()) -> None:
        text, names = numbered(sql)
        if self.kind is Kind.CONNECTION:
            await self.given.execute(text, *params)
        else:
            named = re.sub(r"\$(\d+)", r":p\1", text)
            values = {f"p{name}": value for name, value in zip(names, params, strict=True)}
            await self.given.execute(sqlalchemy.text(named), values)


GIVEN: dict[Kind, Any] = {Kind.CONNECTION: asyncpg.Connection, Kind.SESSION: AsyncSession}


def taking(kind: Kind, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which writes with a `Transaction`, for participants whose handlers take another kind."""
    if kind is Kind.TRANSACTION:
        return function

    async def handler(*arguments: Any) -> Any:
        *before, given, context = arguments
        return await function(*before, Written(kind, given, context))

    names = list(inspect.signature(function).parameters)
    hints = {**get_type_hints(function), names[-1]: GIVEN[kind]}
    parameters = [*inspect.signature(function).parameters.values()]
    parameters.append(inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD))
    handler.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    handler.__annotations__ = {**hints, "context": CommandContext}
    handler.__qualname__ = function.__qualname__
    return handler


def make_shop(
    outside: Outside | None = None,
    *,
    store_breaks: bool = False,
    call_timeout_ms: int = 200,
    kind: Kind = Kind.TRANSACTION,
) -> Participant:
    shop = Participant("shop")
    bank = outside or Outside()

    async def do(command: Do, tx: Transaction) -> Done:
        await tx.execute(*effect_of(tx, "do"))
        return await behave(command.mode, tx)

    shop.action(Do)(taking(kind, do))

    async def undo(command: Undo, tx: Transaction) -> None:
        await tx.execute(*effect_of(tx, "undo"))
        await behave(command.mode, tx)

    shop.compensation(Undo)(taking(kind, undo))

    async def keep(_command: Call, reply: Called, tx: Transaction) -> None:
        assert reply.key in bank.charged
        await tx.execute(*effect_of(tx, "call"))
        if store_breaks:
            raise ValueError("the table is gone")

    @shop.external_action(Call, store=taking(kind, keep), timeout_ms=call_timeout_ms)
    async def call(_command: Call, idempotency_key: str) -> Called:
        return await bank.call(idempotency_key)

    async def note_refund(_command: Refund, reply: Refunded, tx: Transaction) -> None:
        assert reply.key in bank.charged
        await tx.execute(*effect_of(tx, "refund"))
        if store_breaks:
            raise ValueError("the table is gone")

    @shop.external_compensation(Refund, store=taking(kind, note_refund), timeout_ms=call_timeout_ms)
    async def refund(_command: Refund, idempotency_key: str) -> Refunded:
        called = await bank.call(idempotency_key)
        return Refunded(key=called.key)

    async def uncall(_command: Uncall, tx: Transaction) -> None:
        await tx.execute(*effect_of(tx, "uncall"))

    shop.compensation(Uncall)(taking(kind, uncall))

    return shop
