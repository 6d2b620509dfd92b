"""Handlers that wait for something: most never do, and are run without a timer and without a task of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from types import coroutine

import pytest

from kafka_saga import Participant, Rejected, Transaction
from kafka_saga.participants.eager import OwnCancels, begun
from kafka_saga.participants.testing import Harness, body_of
from kafka_saga.schemas.envelope import Outcome, Reason
from tests.participants.shop import SCHEMA, Do, Done, effect_of

WHERE = {"saga_id": "order-1", "step": "pay"}
Behaviour = Callable[[Transaction], Awaitable[Done]]


@coroutine
def moment() -> Generator[None, None, None]:
    """Let the others go first."""
    yield


async def opened(behave: Behaviour, *, handler_timeout_ms: int = 60_000) -> Harness:
    shop = Participant("shop")

    @shop.action(Do)
    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute(*effect_of(tx, "before"))
        return await behave(tx)

    return await Harness.open(shop, schema=SCHEMA, handler_timeout_ms=handler_timeout_ms)


async def effects(harness: Harness) -> list[str]:
    return [kind for (kind,) in await harness.fetch_all("SELECT kind FROM effects ORDER BY rowid")]


async def test_a_handler_that_waits_goes_on_where_it_was() -> None:
    word: ContextVar[str] = ContextVar("word")

    async def in_another_task() -> str:
        await moment()
        return "inner"

    async def behave(tx: Transaction) -> Done:
        task = asyncio.current_task()
        word.set("kept")
        await moment()  # suspends without a future
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "seen")
        text = await future
        async with asyncio.TaskGroup() as group:  # needs to know the task it runs in
            inner = group.create_task(in_another_task())
        assert asyncio.current_task() is task
        await tx.execute(*effect_of(tx, "after"))
        return Done(text=f"{text} {word.get()} {inner.result()}")

    async with await opened(behave) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, body_of(reply)) == (Outcome.SUCCESS, {"text": "seen kept inner"})
        assert await effects(harness) == ["before", "after"]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("error", "outcome", "reason", "text"),
    [
        (Rejected("sold out"), Outcome.FAILURE, Reason.REJECTED, "sold out"),
        (ValueError("it broke"), Outcome.RETRY, None, "it broke"),
        (TimeoutError("the bank is slow"), Outcome.RETRY, None, "the bank is slow"),
        (asyncio.CancelledError(), Outcome.RETRY, None, "the handler was cancelled by its own work"),
    ],
)
async def test_what_a_handler_raises_means_the_same_before_and_after_it_waited(
    waits: bool, error: BaseException, outcome: Outcome, reason: Reason | None, text: str
) -> None:
    async def behave(_tx: Transaction) -> Done:
        if waits:
            await moment()
        raise error

    async with await opened(behave) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, reply.reason, reply.error) == (outcome, reason, text)
        assert await effects(harness) == []
        assert error.__context__ is None, "the log shows what the handler raised, and nothing of how it was run"


async def test_a_handler_that_waits_too_long_is_cancelled_and_cleans_up() -> None:
    """R17: what it waited for is let go, it may wait for its own clean-up, and all it wrote is undone."""
    steps: list[str] = []

    async def behave(tx: Transaction) -> Done:
        await moment()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await moment()
            await tx.execute(*effect_of(tx, "clean-up"))
            steps.append("cleaned up")
            raise
        raise AssertionError("nobody sets the event")

    async with await opened(behave, handler_timeout_ms=20) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "the handler took longer than 20 ms")
        assert steps == ["cleaned up"]
        assert await effects(harness) == []
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_the_time_before_it_waits_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    async def behave(_tx: Transaction) -> Done:
        monkeypatch.setattr(loop, "time", lambda: began_s + 3_600)  # it computed for an hour
        await moment()
        await moment()
        return Done(text="an hour and a moment")

    async with await opened(behave, handler_timeout_ms=3_599_000) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "the handler took longer than 3599000 ms")


async def test_a_handler_that_never_waits_cannot_be_too_late() -> None:
    """Nothing could interrupt it; its work is done, and throwing it away would only make it be done again."""

    async def behave(_tx: Transaction) -> Done:
        return Done(text="well")

    async with await opened(behave, handler_timeout_ms=0) as harness:
        assert (await harness.send(Do(), **WHERE)).outcome is Outcome.SUCCESS


async def test_what_is_thrown_in_is_the_coroutines_to_handle() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await moment()
        return "done all the same"

    async def begin() -> str:
        return await begun(stubborn(), OwnCancels())

    task = asyncio.create_task(begin())
    await moment()
    task.cancel()
    assert await task == "done all the same"
