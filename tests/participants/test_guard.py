from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, Field

from kafka_saga import Participant, Transaction
from kafka_saga.participants.outcomes import reply_from_json
from kafka_saga.participants.testing import Harness, body_of
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokenStoreError, DefinitionError, UsageError
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from tests.participants.adapters import Adapter
from tests.participants.shop import SCHEMA, SLOW, Do, Done, Undo

WHERE = {"saga_id": "order-1", "step": "pay"}


async def opened(adapter: Adapter, **options: object) -> Harness:
    return await adapter.open(**options)


async def effects(harness: Harness) -> list[tuple[str, str]]:
    return [(saga, kind) for saga, kind in await harness.fetch_all("SELECT saga_id, kind FROM effects")]


async def test_rejected_is_a_stored_failure_with_its_text(adapter: Adapter) -> None:
    async with await opened(adapter) as harness:
        reply = await harness.send(Do(mode="reject"), **WHERE)
        assert (reply.outcome, reply.reason, reply.error) == (
            Outcome.FAILURE,
            Reason.REJECTED,
            "Database connection failed",
        )
        assert await effects(harness) == []
        [(stored,)] = await harness.fetch_all("SELECT action_reply FROM saga_fence")
        assert reply_from_json(stored) == reply


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("raise", "it broke"),
        ("slow", "the handler took longer than 20 ms"),
        ("huge", "the reply of make_shop.<locals>.do: the value has 300,011 bytes; at most 262,144 are allowed"),
        ("constraint", "check constraint"),
        ("cancelled", "the handler was cancelled by its own work"),
    ],
)
async def test_a_technical_failure_is_a_retry_and_leaves_no_trace(adapter: Adapter, mode: str, text: str) -> None:
    """R14: only `success` and `failure` are stored; `retry` rolls back everything, the inbox row too."""
    async with await opened(adapter, handler_timeout_ms=20) as harness:
        reply = await harness.send(Do(mode=mode), **WHERE)  # type: ignore[arg-type]
        assert (reply.outcome, reply.reason) == (Outcome.RETRY, None)
        assert text in (reply.error or "").replace("CHECK", "check")
        assert await effects(harness) == []
        assert await harness.fetch_all("SELECT * FROM saga_fence") == []
        assert (await harness.send(Do(), **WHERE, attempt=2)).outcome is Outcome.SUCCESS


async def test_a_failing_command_does_not_touch_its_neighbours_in_the_batch(adapter: Adapter) -> None:
    async with await opened(adapter, handler_timeout_ms=20) as harness:
        modes = ["ok", "raise", "ok", "slow", "reject", "ok"]
        commands = [
            harness.command(Do(mode=mode), saga_id=f"order-{number}", step="pay")  # type: ignore[arg-type]
            for number, mode in enumerate(modes)
        ]
        handled = await harness.handle(commands)
        assert [one.reply.outcome.value for one in handled if one.reply] == [
            "success", "retry", "success", "retry", "failure", "success",
        ]  # fmt: skip
        assert await effects(harness) == [("order-0", "do"), ("order-2", "do"), ("order-5", "do")]


async def test_commands_of_one_step_in_one_batch_see_each_others_effect(adapter: Adapter) -> None:
    async with await opened(adapter) as harness:
        do, undo = harness.command(Do(), **WHERE), harness.command(Undo(), **WHERE)
        handled = await harness.handle([do, do, undo, undo, do])
        replies = [one.reply for one in handled if one.reply]
        assert [(reply.outcome, reply.reason) for reply in replies] == [
            (Outcome.SUCCESS, None),
            (Outcome.SUCCESS, None),
            (Outcome.SUCCESS, None),
            (Outcome.SUCCESS, None),
            (Outcome.FAILURE, Reason.FENCED),
        ]
        assert [one.is_fresh for one in handled] == [True, False, True, False, False]
        assert await effects(harness) == [("order-1", "do"), ("order-1", "undo")]


async def test_steps_and_saga_types_have_rows_of_their_own(adapter: Adapter) -> None:
    async with await opened(adapter) as harness:
        await harness.send(Do(), **WHERE)
        await harness.send(Do(), saga_id="order-1", step="other")
        await harness.send(Do(), **WHERE, saga_type="refund")
        assert len(await effects(harness)) == 3
        assert len(await harness.fetch_all("SELECT * FROM saga_fence")) == 3


async def test_a_failed_compensation_keeps_the_step_done_until_an_operator_asks_again(adapter: Adapter) -> None:
    async with await opened(adapter) as harness:
        await harness.send(Do(), **WHERE)
        refused = await harness.send(Undo(mode="reject"), **WHERE)
        assert (refused.outcome, refused.effect) == (Outcome.FAILURE, Effect.DONE)
        assert await harness.send(Undo(), **WHERE) == refused
        assert (await harness.send(Undo(), **WHERE, epoch=2)).outcome is Outcome.SUCCESS
        assert await effects(harness) == [("order-1", "do"), ("order-1", "undo")]


async def test_an_old_saga_without_a_row_is_never_run_and_never_called_undone(adapter: Adapter) -> None:
    """R16."""
    now_ms = 100 * 24 * 3_600_000
    async with await opened(adapter, now_ms=lambda: now_ms) as harness:
        old = now_ms - limits.FENCE_RETENTION_MS - 1
        for model in (Do(), Undo()):
            reply = await harness.send(model, **WHERE, started_at_ms=old)
            assert (reply.outcome, reply.reason) == (Outcome.FAILURE, Reason.FENCE_EXPIRED)
        assert await harness.fetch_all("SELECT * FROM saga_fence") == []
        young = await harness.send(Do(), **WHERE, started_at_ms=old + 1)
        assert young.outcome is Outcome.SUCCESS


async def test_an_unreadable_body_is_a_stored_failure(adapter: Adapter) -> None:
    """R12: it says that nothing happened, so the same command must not run after the next deploy."""
    async with await opened(adapter) as harness:
        good = harness.command(Do(), **WHERE)
        [handled] = await harness.handle([good._replace(value=b'{"mode": 7}')])
        assert handled.reply is not None
        assert (handled.reply.outcome, handled.reply.reason) == (Outcome.FAILURE, Reason.UNREADABLE)
        assert handled.contract_error is not None
        [again] = await harness.handle([good])
        assert again.reply == handled.reply
        assert await effects(harness) == []


async def test_an_unreadable_compensation_of_nothing_still_leaves_its_tombstone(adapter: Adapter) -> None:
    async with await opened(adapter) as harness:
        undo = harness.command(Undo(), **WHERE)
        [handled] = await harness.handle([undo._replace(value=b"not json")])
        assert handled.reply is not None
        assert handled.reply.effect is Effect.NONE
        assert (await harness.send(Do(), **WHERE)).reason is Reason.FENCED


async def test_an_unknown_type_is_asked_for_again(adapter: Adapter) -> None:
    """R12: a rolling deploy."""
    async with await opened(adapter) as harness:
        [handled] = await harness.handle([harness.command(Undo(), **WHERE)._replace(handler=None)])
        assert handled.reply is not None
        assert handled.reply.outcome is Outcome.RETRY
        assert "shop does not know the command undo" in (handled.reply.error or "")
        assert await harness.fetch_all("SELECT * FROM saga_fence") == []


async def test_a_handler_can_neither_end_the_transaction_nor_outlive_it() -> None:
    shop = Participant("shop")
    kept: list[Transaction] = []

    @shop.action(Do)
    async def do(_command: Do, tx: Transaction) -> Done:
        kept.append(tx)
        with pytest.raises(UsageError):
            await tx.execute(" commit")
        assert tx.command.command_id == "order/order-1/pay/forward/1"
        assert (tx.saga_id, tx.step) == ("order-1", "pay")
        return Done(text=str(await tx.fetch_one("SELECT count(*) FROM effects")))

    async with await Harness.open(shop, schema=SCHEMA) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert body_of(reply) == {"text": "(0,)"}
        with pytest.raises(UsageError):
            await kept[0].execute("INSERT INTO effects VALUES ('late', '', '')")


async def test_a_full_disk_is_no_handlers_fault_and_ends_the_batch() -> None:
    shop = Participant("shop")

    @shop.action(Do)
    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute("INSERT INTO effects VALUES ('order-1', 'pay', 'do')")
        raise BrokenStoreError("cannot write the store: database or disk is full")

    async with await Harness.open(shop, schema=SCHEMA) as harness:
        with pytest.raises(BrokenStoreError):
            await harness.send(Do(), **WHERE)
        assert await harness.fetch_all("SELECT * FROM effects") == []


async def test_stopping_in_the_middle_of_a_handler_keeps_nothing(adapter: Adapter) -> None:
    async with await opened(adapter, handler_timeout_ms=60_000) as harness:
        commands = [harness.command(Do(), saga_id="order-0", step="pay"), harness.command(Do(mode="slow"), **WHERE)]
        task = asyncio.create_task(harness.handle(commands))
        SLOW.clear()
        while not SLOW:
            await asyncio.wait({task}, timeout=0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await effects(harness) == []


async def test_a_reply_that_is_not_the_promised_one_is_the_handlers_mistake() -> None:
    shop = Participant("shop")

    @shop.action(Do)
    async def do(_command: Do, _tx: Transaction) -> Done:
        return None  # type: ignore[return-value]

    async with await Harness.open(shop) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert reply.outcome is Outcome.RETRY
        assert "its annotation says Done" in (reply.error or "")
        with pytest.raises(DefinitionError):
            await harness.send(Undo(), **WHERE)


async def test_any_text_of_an_exception_can_be_answered() -> None:
    shop = Participant("shop")

    @shop.action(Do)
    async def do(_command: Do, _tx: Transaction) -> Done:
        raise ValueError("\udcff" + "x" * 5_000)

    async with await Harness.open(shop) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert reply.error == "?" + "x" * (limits.ERROR_TEXT_LENGTH_MAX - 1)


class Bounded(BaseModel):
    amount: int = Field(1, ge=0, le=100)


class Anything(BaseModel):
    more: Any = None


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else "here"


@pytest.mark.parametrize(
    ("model", "field", "value", "text"),
    [
        (Bounded, "amount", 500, "amount: Input should be less than or equal to 100"),
        (Bounded, "amount", "many", "amount: Input should be a valid integer"),
        (Anything, "more", deep(40), "the value is nested deeper than 32 levels"),
        (Anything, "more", float("nan"), "would change when it is written and read again"),
    ],
    ids=["range", "type", "depth", "nan"],
)
async def test_a_reply_that_its_reader_would_refuse_is_no_success_R58(
    model: type[BaseModel], field: str, value: object, text: str
) -> None:
    stock = Participant("stock")

    async def do(_command: Do, _tx: Transaction) -> BaseModel:
        reply = model()
        setattr(reply, field, value)  # what is assigned later is validated by nobody
        return reply

    do.__annotations__["return"] = model
    stock.action(Do)(do)
    async with await Harness.open(stock) as harness:
        reply = await harness.send(Do(), saga_id="o-1", step="first")
    assert reply.outcome is Outcome.RETRY
    assert text in str(reply.error)


class Base(BaseModel):
    a: int = 1


class Child(Base):
    b: str = "x"


class Holding(BaseModel):
    items: list[Base]


async def test_an_object_of_a_subclass_whose_fields_would_vanish_is_no_reply_R58() -> None:
    stock = Participant("stock")

    @stock.action(Do)
    async def do(command: Do, _tx: Transaction) -> Holding:
        return Holding(items=[Child(b="lost")] if command.mode == "ok" else [Base()])

    async with await Harness.open(stock) as harness:
        lost = await harness.send(Do(), saga_id="o-1", step="first")
        kept = await harness.send(Do(mode="slow"), saga_id="o-2", step="first")
    assert (lost.outcome, kept.outcome) == (Outcome.RETRY, Outcome.SUCCESS)
    assert "the field 'items[0].b' would change" in str(lost.error)
