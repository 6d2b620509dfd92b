"""R17: an undoing that is a call to the outside. Its key is the compensation's command id, whatever happens between."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from kafka_saga import Participant, Transaction
from kafka_saga.participants.calls import make_call
from kafka_saga.participants.faults import FaultInjector, Faults
from kafka_saga.participants.guard import Handled
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from tests.participants.adapters import Adapter
from tests.participants.shop import Call, Outside, Refund
from tests.participants.test_fence import status_of
from tests.participants.worker_world import P0, World

WHERE = {"saga_id": "order-1", "step": "pay"}
CHARGE = "order/order-1/pay/forward/1"
KEY = "order/order-1/pay/compensate/1"
NO_FAULTS = FaultInjector(Faults())


async def opened(adapter: Adapter, outside: Outside) -> Harness:
    return await adapter.open(adapter.shop(outside))


async def charged(adapter: Adapter, outside: Outside, *, store_breaks: bool = False) -> Harness:
    """A shop that has charged order-1."""
    harness = await opened(adapter, outside)
    await harness.send(Call(), **WHERE)
    if store_breaks:
        await harness.run_script("DROP TABLE effects")
    outside.calls.clear()
    return harness


async def begun(harness: Harness, *, epoch: int = 1) -> Handled:
    [handled] = await harness.handle([harness.command(Refund(), **WHERE, epoch=epoch)])
    assert handled.reply is None
    assert handled.call is not None
    return handled


async def settled(harness: Harness, handled: Handled) -> Handled:
    assert handled.call is not None
    [after] = await harness.handle([], [await make_call(handled.call, NO_FAULTS)])
    return after


async def effects(harness: Harness) -> list[str]:
    return [kind for (kind,) in await harness.fetch_all("SELECT kind FROM effects")]


async def test_that_it_began_is_written_before_the_call_and_the_outcome_with_the_rows(
    adapter: Adapter,
) -> None:
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        handled = await begun(harness)
        assert (await status_of(harness), outside.calls) == ("undoing", [])
        after = await settled(harness, handled)
        assert after.reply is not None
        assert (after.reply.outcome, after.reply.effect) == (Outcome.SUCCESS, Effect.DONE)
        assert (await status_of(harness), await effects(harness)) == ("compensated", ["call", "refund"])
        assert await harness.send(Refund(), **WHERE, attempt=2) == after.reply
        assert (await harness.send(Call(), **WHERE, attempt=2)).reason is Reason.FENCED
        assert outside.calls == [KEY]


async def test_a_crash_between_call_and_commit_calls_again_with_the_same_key(adapter: Adapter) -> None:
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        handled = await begun(harness)
        assert handled.call is not None
        await make_call(handled.call, NO_FAULTS)
        # The process died here: the outcome was never stored, and the command is read again.
        reply = await harness.send(Refund(), **WHERE)
        assert reply.outcome is Outcome.SUCCESS
        assert outside.calls == [KEY, KEY]
        assert (await status_of(harness), await effects(harness)) == ("compensated", ["call", "refund"])


async def test_an_error_leaves_it_in_doubt_and_a_refusal_leaves_the_action_done(adapter: Adapter) -> None:
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        outside.mode = "raise"
        reply = await harness.send(Refund(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "no answer from the bank")
        assert await status_of(harness) == "undoing"
        outside.mode = "reject"
        reply = await harness.send(Refund(), **WHERE, attempt=2)
        assert (reply.outcome, reply.reason, reply.error) == (Outcome.FAILURE, Reason.REJECTED, "card declined")
        assert (await status_of(harness), await effects(harness)) == ("done", ["call"])
        assert await harness.send(Refund(), **WHERE, attempt=3) == reply
        assert set(outside.calls) == {KEY}


async def test_an_operators_retry_after_a_refusal_is_another_call_of_one_in_doubt_the_same(
    adapter: Adapter,
) -> None:
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        outside.mode = "raise"
        await harness.send(Refund(), **WHERE)
        await harness.send(Refund(), **WHERE, epoch=2)
        assert outside.calls == [KEY, KEY], "whether the first was made is not known: only its own key may ask"
        outside.mode = "reject"
        await harness.send(Refund(), **WHERE, epoch=2)
        outside.mode = "ok"
        reply = await harness.send(Refund(), **WHERE, epoch=3)
        assert reply.outcome is Outcome.SUCCESS
        assert outside.calls == [KEY, KEY, KEY, "order/order-1/pay/compensate/3"]
        assert (await harness.send(Refund(), **WHERE, epoch=2)).reason is Reason.STALE


async def test_a_call_that_takes_too_long_is_in_doubt(adapter: Adapter) -> None:
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        outside.gate = asyncio.Event()
        reply = await harness.send(Refund(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.RETRY, "no answer from outside within 200 ms")
        assert await status_of(harness) == "undoing"


async def test_business_rows_that_cannot_be_written_leave_it_in_doubt(adapter: Adapter) -> None:
    outside = Outside()
    async with await charged(adapter, outside, store_breaks=True) as harness:
        reply = await harness.send(Refund(), **WHERE)
        assert (reply.outcome, "effects" in (reply.error or "")) == (Outcome.RETRY, True)
        assert await status_of(harness) == "undoing"


async def test_an_action_that_comes_while_it_is_being_undone_waits_and_has_it_settled(adapter: Adapter) -> None:
    """It was done, and may not be any more: neither answer would be true for long."""
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        await begun(harness)
        [waiting] = await harness.handle([harness.command(Call(), **WHERE, attempt=2)])
        assert waiting.reply is not None
        assert (waiting.reply.outcome, waiting.reply.error) == (
            Outcome.RETRY,
            f"{KEY} is in doubt: its call to the outside must be settled first",
        )
        late = await settled(harness, waiting)
        assert late.command.head.command_id == KEY
        assert await status_of(harness) == "compensated"
        assert (await harness.send(Call(), **WHERE, attempt=3)).reason is Reason.FENCED


@pytest.mark.parametrize("outcome", ["nothing", "refused"])
async def test_where_nothing_was_done_nothing_is_called(adapter: Adapter, outcome: str) -> None:
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        if outcome == "refused":
            outside.mode = "reject"
            await harness.send(Call(), **WHERE)
        reply = await harness.send(Refund(), **WHERE)
        assert (reply.outcome, reply.effect) == (Outcome.SUCCESS, Effect.NONE)
        assert outside.calls == ([CHARGE] if outcome == "refused" else [])
        assert await status_of(harness) == "cancelled"


async def test_it_waits_for_an_action_whose_call_is_in_doubt(adapter: Adapter) -> None:
    outside = Outside()
    outside.mode = "raise"
    async with await opened(adapter, outside) as harness:
        await harness.send(Call(), **WHERE)
        assert (await harness.send(Refund(), **WHERE)).outcome is Outcome.RETRY
        assert set(outside.calls) == {CHARGE}
        outside.mode = "ok"
        await harness.send(Call(), **WHERE, attempt=2)
        assert (await harness.send(Refund(), **WHERE, attempt=2)).outcome is Outcome.SUCCESS
        assert set(outside.calls) == {CHARGE, KEY}


@pytest.mark.parametrize("mode", ["raise", "reject", "ok"])
async def test_a_late_second_outcome_changes_nothing(adapter: Adapter, mode: str) -> None:
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        first, second = await begun(harness), await begun(harness)
        await settled(harness, first)
        outside.mode = mode  # type: ignore[assignment]
        after = await settled(harness, second)
        assert after.reply is not None
        assert (after.reply.outcome, after.reply.effect) == (Outcome.SUCCESS, Effect.DONE)
        assert (await status_of(harness), await effects(harness)) == ("compensated", ["call", "refund"])


async def test_a_late_outcome_of_the_action_does_not_end_the_undoing(adapter: Adapter) -> None:
    """Two copies of the action were called; the second comes back while the refund is open."""
    outside = Outside()
    async with await opened(adapter, outside) as harness:
        [first] = await harness.handle([harness.command(Call(), **WHERE)])
        [second] = await harness.handle([harness.command(Call(), **WHERE)])
        await settled(harness, first)
        await begun(harness)
        late = await settled(harness, second)
        assert late.reply is not None
        assert late.reply.outcome is Outcome.RETRY
        assert await status_of(harness) == "undoing"


async def test_a_handler_that_is_no_call_any_more_is_told_what_was_begun(adapter: Adapter) -> None:
    """A deploy between the two transactions."""
    outside = Outside()
    async with await charged(adapter, outside) as harness:
        await begun(harness)
        shop = Participant("shop")

        @shop.compensation(Refund)
        async def refund(_command: Refund, _tx: Transaction) -> None:
            raise AssertionError("the refund may have been made already")

        harness._guard._participant = shop
        command = harness.command(Refund(), **WHERE)
        [handled] = await harness.handle([command._replace(handler=shop.handlers["refund"])])
        assert handled.reply is not None
        assert (handled.reply.outcome, handled.call) == (Outcome.RETRY, None)
        assert handled.reply.error == "refund was begun here and cannot be continued"


class Bill(BaseModel):
    amount: float = 0.0


class Answer(BaseModel):
    amount: float


async def test_an_answer_that_the_orchestrator_would_refuse_is_never_committed() -> None:
    """NaN is no JSON. It stays in doubt, and may be mended: the outside has done it already."""
    shop = Participant("shop")

    @shop.external_action(Call)
    async def call(_command: Call, _key: str) -> Answer:
        return Answer(amount=float("nan"))

    @shop.action(Bill)
    async def bill(_command: Bill, _tx: Transaction) -> None: ...

    @shop.external_compensation(Refund)
    async def refund(_command: Refund, _key: str) -> Answer:
        return Answer(amount=float("nan"))

    async with await Harness.open(shop) as harness:
        for step, models in {"called": [Call()], "billed": [Bill(), Refund()]}.items():
            where = {"saga_id": "order-1", "step": step}
            replies = [await harness.send(model, **where) for model in models]
            assert replies[-1].outcome is Outcome.RETRY
            assert "would change when it is written and read again" in (replies[-1].error or "")
        rows = await harness.fetch_all("SELECT status FROM saga_fence ORDER BY saga_id")
        assert rows == [("started",), ("started",)], "the calls are in doubt, not done"


async def test_refused_is_what_cannot_be_called() -> None:
    async def with_a_transaction(_command: Refund, tx: Transaction) -> None: ...

    async def good(_command: Refund, _key: str) -> None: ...

    shop = Participant("shop")
    with pytest.raises(DefinitionError, match="outside of any transaction"):
        shop.external_compensation(Refund)(with_a_transaction)
    with pytest.raises(DefinitionError, match="timeout_ms is a whole number"):
        shop.external_compensation(Refund, timeout_ms=0)
    with pytest.raises(DefinitionError, match="async def store"):
        shop.external_compensation(Refund, store=lambda: None)  # type: ignore[arg-type,misc]
    with pytest.raises(DefinitionError, match=r"write @shop\.external_compensation\(TheCommand\)"):
        shop.external_compensation(good)  # type: ignore[arg-type]
    shop.external_compensation(Refund)(good)
    assert shop.handlers["refund"].is_external


async def test_a_worker_that_is_killed_in_the_call_makes_it_again_with_the_same_key(world: World) -> None:
    await world.start()
    await world.send(Call(), "order-1")
    await world.replied(1)
    world.outside.gate = asyncio.Event()
    world.outside.began.clear()
    await world.send(Refund(), "order-1")
    await world.outside.began.wait()
    assert await world.stored() == {P0: 1}
    await world.kill()

    world.outside.gate.set()
    await world.start()
    await world.replied(2)
    assert world.broker.outcomes() == [("order-1", Outcome.SUCCESS), ("order-1", Outcome.SUCCESS)]
    assert world.outside.calls == [CHARGE, KEY, KEY]
    assert await world.effects() == [("order-1", "call"), ("order-1", "refund")]
    assert await world.stored_after_stop() == {P0: 2}


async def test_the_outside_says_no_by_a_fault_as_by_itself(adapter: Adapter) -> None:
    faults = Faults.from_environment({"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_REJECT": "refund:text=no refunds"})
    async with await adapter.open(faults=faults) as harness:
        await harness.send(Call(), **WHERE)
        reply = await harness.send(Refund(), **WHERE)
        assert (reply.outcome, reply.error) == (Outcome.FAILURE, "no refunds")
