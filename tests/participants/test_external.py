"""R17: calls to the outside, with one idempotency key however often they are made."""

from __future__ import annotations

import asyncio

import pytest

from kafka_saga.participants.calls import ExternalCalls, make_call
from kafka_saga.participants.faults import FaultInjector, Faults
from kafka_saga.participants.guard import Handled
from kafka_saga.participants.testing import Harness
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from tests.participants.adapters import Adapter
from tests.participants.shop import Call, Outside, Uncall

WHERE = {"saga_id": "order-1", "step": "pay"}
KEY = "order/order-1/pay/forward/1"
NO_FAULTS = FaultInjector(Faults())


async def opened(adapter: Adapter, outside: Outside, *, store_breaks: bool = False) -> Harness:
    return await adapter.open(adapter.shop(outside, store_breaks=store_breaks))


async def begun(harness: Harness, *, epoch: int = 1) -> Handled:
    [handled] = await harness.handle([harness.command(Call(), **WHERE, epoch=epoch)])
    assert handled.reply is None
    assert handled.call is not None
    return handled


async def settled(harness: Harness, handled: Handled) -> Handled:
    assert handled.call is not None
    [after] = await harness.handle([], [await make_call(handled.call, NO_FAULTS)])
    return after


async def look(harness: Harness) -> tuple[str, list[str]]:
    [(status,)] = await harness.fetch_all("SELECT status FROM saga_fence")
    return status, [kind for (kind,) in await harness.fetch_all("SELECT kind FROM effects")]


async def test_the_outcome_is_stored_with_the_business_rows(adapter: Adapter) -> None:
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        handled = await begun(harness)
        assert await look(harness) == ("started", [])
        after = await settled(harness, handled)
        assert after.reply is not None
        assert after.reply.outcome is Outcome.SUCCESS
        assert await look(harness) == ("done", ["call"])
        assert await harness.send(Call(), **WHERE, attempt=2) == after.reply
        assert outside.calls == [KEY]


async def test_a_crash_between_the_transactions_calls_again_with_the_same_key(adapter: Adapter) -> None:
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        handled = await begun(harness)
        assert handled.call is not None
        await make_call(handled.call, NO_FAULTS)
        # The process died here: the outcome was never stored, and the command is read again.
        reply = await harness.send(Call(), **WHERE)
        assert reply.outcome is Outcome.SUCCESS
        assert outside.calls == [KEY, KEY]
        assert outside.charged == {KEY}
        assert await look(harness) == ("done", ["call"])


async def test_a_higher_epoch_does_not_change_the_key_of_a_call_in_doubt(adapter: Adapter) -> None:
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        await begun(harness)
        after = await settled(harness, await begun(harness, epoch=2))
        assert after.reply is not None
        assert outside.calls == [KEY]
        stale = await harness.send(Call(), **WHERE)
        assert stale.reason is Reason.STALE


async def test_a_refusal_from_outside_is_a_failure_and_an_error_leaves_the_call_in_doubt(adapter: Adapter) -> None:
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        outside.mode = "raise"
        reply = await harness.send(Call(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "no answer from the bank")
        assert await look(harness) == ("started", [])
        outside.mode = "reject"
        reply = await harness.send(Call(), **WHERE, attempt=2)
        assert (reply.outcome, reply.reason, reply.error) == (Outcome.FAILURE, Reason.REJECTED, "card declined")
        assert await look(harness) == ("failed", [])


async def test_a_call_that_takes_too_long_is_in_doubt(adapter: Adapter) -> None:
    outside = Outside()
    outside.gate = asyncio.Event()
    async with await opened(adapter, outside) as harness:
        reply = await harness.send(Call(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "no answer from outside within 200 ms")
        assert await look(harness) == ("started", [])


async def test_business_rows_that_cannot_be_written_do_not_turn_a_success_into_a_failure(adapter: Adapter) -> None:
    outside = Outside()
    async with await opened(adapter, outside, store_breaks=True) as harness:
        reply = await harness.send(Call(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "the table is gone")
        assert await look(harness) == ("started", [])


async def test_a_compensation_waits_for_the_call_and_has_it_settled(adapter: Adapter) -> None:
    """Nobody else would: the action was given up, so its command does not come again."""
    outside = Outside()
    outside.mode = "raise"
    async with await opened(adapter, outside) as harness:
        await harness.send(Call(), **WHERE)
        [waiting] = await harness.handle([harness.command(Uncall(), **WHERE)])
        assert waiting.reply is not None
        assert waiting.reply.outcome is Outcome.RETRY
        outside.mode = "ok"
        late = await settled(harness, waiting)
        assert late.command.head.command_id == KEY
        undone = await harness.send(Uncall(), **WHERE, attempt=2)
        assert (undone.outcome, undone.effect) == (Outcome.SUCCESS, Effect.DONE)
        assert await look(harness) == ("compensated", ["call", "uncall"])
        assert set(outside.calls) == {KEY}


async def test_a_compensation_of_a_call_that_was_refused_finds_nothing_to_undo(adapter: Adapter) -> None:
    outside = Outside()
    outside.mode = "reject"
    async with await opened(adapter, outside) as harness:
        await harness.send(Call(), **WHERE)
        reply = await harness.send(Uncall(), **WHERE)
        assert (reply.outcome, reply.effect) == (Outcome.SUCCESS, Effect.NONE)
        assert outside.charged == set()


async def test_calls_are_bounded_and_of_one_saga_in_order(adapter: Adapter) -> None:
    outside = Outside()
    outside.gate = asyncio.Event()
    async with await opened(adapter, outside) as harness:
        calls = ExternalCalls(NO_FAULTS, calls_max=2)
        for number in (1, 2, 3):
            [handled] = await harness.handle([harness.command(Call(), saga_id=f"order-{number}", step="pay")])
            assert handled.call is not None
            calls.submit(handled.call)
        assert handled.call is not None
        calls.submit(handled.call)  # a second copy of order-3
        assert calls.pending == 4
        await outside.began.wait()
        outside.gate.set()
        taken, waited = [], []
        while len(taken) < 3:
            await calls.changed.wait()
            ended, again = calls.take()
            taken += ended
            waited += again
        assert outside.open_max <= 2
        assert sorted(outside.calls) == [f"order/order-{number}/pay/forward/1" for number in (1, 2, 3)]
        assert [command.key.saga_id for command in waited] == ["order-3"]
        assert calls.pending == 0


async def test_calls_still_open_at_the_stop_are_left_to_the_next_start(adapter: Adapter) -> None:
    outside = Outside()
    outside.gate = asyncio.Event()
    async with await opened(adapter, outside) as harness:
        handled = await begun(harness)
        calls = ExternalCalls(NO_FAULTS)
        assert handled.call is not None
        calls.submit(handled.call)
        await outside.began.wait()
        await calls.drain(1)
        assert calls.take() == ([], [])
        assert outside.open == 0
        assert await look(harness) == ("started", [])


@pytest.mark.parametrize("mode", ["raise", "reject", "ok"])
async def test_a_late_second_outcome_changes_nothing(adapter: Adapter, mode: str) -> None:
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        first, second = await begun(harness), await begun(harness)
        await settled(harness, first)
        outside.mode = mode  # type: ignore[assignment]
        after = await settled(harness, second)
        assert after.reply is not None
        assert after.reply.outcome is Outcome.SUCCESS
        assert await look(harness) == ("done", ["call"])
