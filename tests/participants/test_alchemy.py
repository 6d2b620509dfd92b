"""Handlers that take SQLAlchemy's AsyncSession: theirs is the session, ours is the transaction (R79)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from kafka_saga import CommandContext, Participant, Rejected
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.testing import Harness, body_of
from kafka_saga.participants.undone import TransactionEscapedError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.envelope import Outcome
from tests.participants.adapters import ON_POSTGRES, ON_SQLITE, new_schema
from tests.participants.shop import Do, Done, Undo

WHERE = {"saga_id": "order-1", "step": "pay"}


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int]


class Charge(Base):
    __tablename__ = "charges"
    saga_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey(Account.name))
    amount: Mapped[int]


class ShopSession(AsyncSession):
    """A user's own class."""


async def prepare(connection: AsyncConnection) -> None:
    await connection.run_sync(Base.metadata.create_all)
    await connection.execute(text("INSERT INTO accounts VALUES ('alice', 100) ON CONFLICT DO NOTHING"))


Handler = Callable[..., Awaitable[Any]]


@pytest.fixture(params=[name for name, kind in (ON_SQLITE | ON_POSTGRES).items() if kind is Kind.SESSION])
async def database(request: pytest.FixtureRequest) -> str | PostgresUrl:
    if request.param in ON_SQLITE:
        return ":memory:"
    return await new_schema(request.getfixturevalue("postgres"))


async def opened(database: str | PostgresUrl, do: Handler, undo: Handler | None = None, **options: Any) -> Harness:
    bank = Participant("bank", **options)
    bank.action(Do)(do)  # type: ignore[type-var] # a coroutine function
    if undo is not None:
        bank.compensation(Undo)(undo)  # type: ignore[type-var]
    return await Harness.open(bank, prepare=prepare, database=database)


async def charge(command: Do, session: AsyncSession, context: CommandContext) -> Done:
    account = await session.get_one(Account, "alice")
    account.balance -= 10
    session.add(Charge(saga_id=context.saga_id, account="alice", amount=10))
    if command.mode == "reject":
        raise Rejected("not today")
    return Done(text=f"{account.balance} left")


async def refund(_command: Undo, session: AsyncSession, context: CommandContext) -> None:
    made = (await session.scalars(select(Charge).where(Charge.saga_id == context.saga_id))).one()
    (await session.get_one(Account, made.account)).balance += made.amount
    await session.delete(made)


async def books(harness: Harness) -> tuple[int, int]:
    [(balance,)] = await harness.fetch_all("SELECT balance FROM accounts")
    [(charges,)] = await harness.fetch_all("SELECT count(*) FROM charges")
    return balance, charges


async def test_what_is_only_added_to_the_session_is_written_with_the_fence(database: str | PostgresUrl) -> None:
    async with await opened(database, charge, refund) as harness:
        first = await harness.send(Do(), **WHERE)
        assert body_of(first) == {"text": "90 left"}
        assert await harness.send(Do(), **WHERE, attempt=2) == first
        assert await books(harness) == (90, 1)
        assert (await harness.send(Do(mode="reject"), saga_id="order-2", step="pay")).outcome is Outcome.FAILURE
        assert await books(harness) == (90, 1)
        assert (await harness.send(Undo(), **WHERE)).outcome is Outcome.SUCCESS
        assert await books(harness) == (100, 0)


async def test_neighbours_in_a_batch_see_what_came_before_and_no_others_objects(database: str | PostgresUrl) -> None:
    async with await opened(database, charge) as harness:
        modes = ["ok", "reject", "ok", "ok"]
        commands = [
            harness.command(Do(mode=mode), saga_id=f"order-{n}", step="pay")  # type: ignore[arg-type]
            for n, mode in enumerate(modes)
        ]
        handled = await harness.handle(commands)
        assert [body_of(one.reply).get("text") for one in handled if one.reply] == [
            "90 left", None, "80 left", "70 left",
        ]  # fmt: skip
        assert await books(harness) == (70, 3)


async def test_a_users_commit_and_rollback_end_at_the_commands_savepoint(database: str | PostgresUrl) -> None:
    async def do(command: Do, session: AsyncSession, context: CommandContext) -> Done:
        session.add(Charge(saga_id=context.saga_id, account="alice", amount=1))
        await session.commit()
        session.add(Charge(saga_id=f"{context.saga_id}-b", account="alice", amount=1))
        await session.rollback()
        async with session.begin():
            session.add(Charge(saga_id=f"{context.saga_id}-c", account="alice", amount=1))
        if command.mode == "raise":
            raise ValueError("it broke")
        return Done(text="")

    async with await opened(database, do) as harness:
        assert (await harness.send(Do(), **WHERE)).outcome is Outcome.SUCCESS
        assert (await harness.send(Do(mode="raise"), saga_id="order-2", step="pay")).outcome is Outcome.RETRY
        rows = await harness.fetch_all("SELECT saga_id FROM charges ORDER BY 1")
        assert rows == [("order-1",), ("order-1-c",)]


async def test_a_constraint_that_fails_at_the_flush_is_the_handlers_own_affair(database: str | PostgresUrl) -> None:
    async def do(command: Do, session: AsyncSession, context: CommandContext) -> Done:
        session.add(
            Charge(saga_id=context.saga_id, account="nobody" if command.mode == "constraint" else "alice", amount=1)
        )
        return Done(text="")

    async with await opened(database, do) as harness:
        commands = [
            harness.command(Do(mode=mode), saga_id=mode, step="pay")  # type: ignore[arg-type]
            for mode in ("ok", "constraint", "slow")
        ]
        handled = await harness.handle(commands)
        assert [one.reply.outcome.value for one in handled if one.reply] == ["success", "retry", "success"]
        assert (await books(harness))[1] == 2


REACHES: list[Any] = [
    pytest.param(lambda session: session.execute(text("COMMIT")), id="commit"),
    pytest.param(lambda session: session.execute(text("/* */ rollback")), id="rollback"),
    pytest.param(lambda session: session.execute(text("SAVEPOINT mine")), id="savepoint"),
]


@pytest.mark.parametrize("reach", REACHES)
async def test_what_would_end_the_batchs_transaction_is_refused(
    database: str | PostgresUrl, reach: Callable[[AsyncSession], Awaitable[Any]]
) -> None:
    async def do(_command: Do, session: AsyncSession) -> Done:
        await reach(session)
        return Done(text="")

    async with await opened(database, do) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, "the transaction belongs to the guard" in str(reply.error)) == (Outcome.RETRY, True)


async def test_a_commit_of_the_connection_is_refused(database: str | PostgresUrl) -> None:
    async def do(command: Do, session: AsyncSession, context: CommandContext) -> Done:
        session.add(Charge(saga_id=context.saga_id, account="alice", amount=1))
        await session.flush()
        if command.mode != "ok":
            await (await session.connection()).commit()
        return Done(text="")

    async with await opened(database, do) as harness:
        first, second = await harness.handle(
            [harness.command(Do(), **WHERE), harness.command(Do(mode="raise"), saga_id="order-2", step="pay")]
        )
        assert first.reply is not None
        assert second.reply is not None
        assert (first.reply.outcome, second.reply.outcome) == (Outcome.SUCCESS, Outcome.RETRY)
        assert (await books(harness))[1] == 1


async def test_a_statement_that_its_handler_cancels_costs_its_own_command_only(postgres_schema: PostgresUrl) -> None:
    async def cancels(command: Do, session: AsyncSession) -> Done:
        if command.mode != "ok":
            with suppress(TimeoutError):
                await asyncio.wait_for(session.execute(text("SELECT pg_sleep(9)")), 0.05)
        return Done(text="")

    async with await opened(postgres_schema, cancels) as harness:
        handled = await harness.handle(
            [
                harness.command(Do(mode=mode), saga_id=f"order-{number}", step="pay")  # type: ignore[arg-type]
                for number, mode in enumerate(("ok", "raise", "ok"))
            ]
        )
        assert [one.reply.outcome.value for one in handled if one.reply] == ["success", "retry", "success"]
        assert "cancels" in str(handled[1].reply and handled[1].reply.error)


async def test_a_commit_behind_sqlalchemys_back_stops_the_process(postgres_schema: PostgresUrl) -> None:
    async def sneaks(_command: Do, session: AsyncSession) -> Done:
        raw = await (await session.connection()).get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.execute("COMMIT")
        return Done(text="")

    async with await opened(postgres_schema, sneaks) as harness:
        with pytest.raises(TransactionEscapedError, match="sneaks"):
            await harness.send(Do(), **WHERE)


async def test_sessions_are_made_as_the_user_says_and_end_with_their_command(database: str | PostgresUrl) -> None:
    kept: list[AsyncSession] = []

    async def do(_command: Do, session: ShopSession) -> Done:
        kept.append(session)
        return Done(text=f"{type(session).__name__} {session.sync_session.expire_on_commit} {session.info}")

    maker = async_sessionmaker(class_=ShopSession, expire_on_commit=False, info={"of": "us"})
    async with await opened(database, do, sessions=maker) as harness:
        assert body_of(await harness.send(Do(), **WHERE)) == {"text": "ShopSession False {'of': 'us'}"}
        with pytest.raises(InvalidRequestError, match="closed"):
            await kept[0].execute(text("SELECT 1"))
