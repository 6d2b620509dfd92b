"""R14, whole: every fence row meets every arrival, first as a decision, then carried out on a database."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest

from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import Decision, FenceRow, Status, decide
from kafka_saga.participants.outcomes import Reply
from kafka_saga.participants.testing import Harness
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.ids import CommandId, Phase
from tests.participants.shop import SCHEMA, Call, Do, Outside, Refund, Undo, make_shop

D, S = Decision, Status
KEY = FenceKey("order", "order-1", "pay")
EPOCH = 5

# (row, phase) -> the decision for a lower, the same and a higher epoch than the row's.
EXPECTED: dict[tuple[Status, Phase], tuple[Decision, Decision, Decision]] = {
    (S.STARTED, Phase.FORWARD): (D.STALE, D.RUN, D.RUN),
    (S.STARTED, Phase.COMPENSATE): (D.STALE, D.WAIT, D.WAIT),
    (S.DONE, Phase.FORWARD): (D.STALE, D.SEND_STORED, D.SEND_STORED),
    (S.DONE, Phase.COMPENSATE): (D.STALE, D.RUN, D.RUN),
    (S.UNDOING, Phase.FORWARD): (D.STALE, D.WAIT, D.WAIT),
    (S.UNDOING, Phase.COMPENSATE): (D.STALE, D.RUN, D.RUN),
    (S.FAILED, Phase.FORWARD): (D.STALE, D.SEND_STORED, D.RUN),
    (S.FAILED, Phase.COMPENSATE): (D.STALE, D.CANCEL, D.CANCEL),
    (S.CANCELLED, Phase.FORWARD): (D.STALE, D.FENCED, D.FENCED),
    (S.CANCELLED, Phase.COMPENSATE): (D.STALE, D.CANCEL, D.CANCEL),
    (S.COMPENSATED, Phase.FORWARD): (D.STALE, D.FENCED, D.FENCED),
    (S.COMPENSATED, Phase.COMPENSATE): (D.STALE, D.SEND_STORED, D.SEND_STORED),
}


def row(status: Status, *, compensation_reply: str | None = None) -> FenceRow:
    call = "{}" if status in {S.STARTED, S.UNDOING} else None
    return FenceRow(KEY, status, EPOCH, EPOCH, "reply", compensation_reply, call, 0, 0)


def command(phase: Phase, epoch: int) -> CommandId:
    return CommandId(*KEY, phase, epoch)


@pytest.mark.parametrize(("status", "phase", "step"), [(*key, step) for key in EXPECTED for step in (-1, 0, 1)])
def test_every_row_meets_every_arrival(status: Status, phase: Phase, step: int) -> None:
    decision = decide(row(status), command(phase, EPOCH + step), is_expired=False)
    assert decision is EXPECTED[status, phase][step + 1]


def test_the_table_above_is_complete() -> None:
    assert set(EXPECTED) == set(product(Status, Phase))


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("phase", Phase)
def test_a_row_that_exists_is_believed_however_old_the_saga(status: Status, phase: Phase) -> None:
    fresh = decide(row(status), command(phase, EPOCH), is_expired=False)
    assert decide(row(status), command(phase, EPOCH), is_expired=True) is fresh


def test_without_a_row_an_action_runs_and_a_compensation_leaves_a_tombstone() -> None:
    assert decide(None, command(Phase.FORWARD, 1), is_expired=False) is D.RUN
    assert decide(None, command(Phase.COMPENSATE, 1), is_expired=False) is D.CANCEL


@pytest.mark.parametrize("phase", Phase)
def test_without_a_row_an_old_saga_is_refused(phase: Phase) -> None:
    """R16: the row may have been pruned, so its absence says nothing."""
    assert decide(None, command(phase, 1), is_expired=True) is D.EXPIRED


def test_a_failed_compensation_is_answered_from_the_row_until_its_epoch_is_raised() -> None:
    failed = row(S.DONE, compensation_reply="reply")
    assert decide(failed, command(Phase.COMPENSATE, EPOCH), is_expired=False) is D.SEND_STORED
    assert decide(failed, command(Phase.COMPENSATE, EPOCH + 1), is_expired=False) is D.RUN


# --- carried out ------------------------------------------------------------------------------------------------------

ROWS = ("none", "started", "done", "undoing", "failed", "cancelled", "compensated")


async def brought_to(harness: Harness, state: str) -> None:
    """Bring order-1/pay to `state` by commands of epoch 2."""
    where = {"saga_id": "order-1", "step": "pay", "epoch": 2}
    if state == "started":
        [handled] = await harness.handle([harness.command(Call(), **where)])
        assert handled.call is not None
    if state in {"done", "undoing", "compensated"}:
        await harness.send(Do(), **where)
    if state == "undoing":
        [handled] = await harness.handle([harness.command(Refund(), **where)])
        assert handled.call is not None
    if state == "failed":
        await harness.send(Do(mode="reject"), **where)
    if state in {"cancelled", "compensated"}:
        await harness.send(Undo(), **where)


async def status_of(harness: Harness) -> str:
    rows = await harness.fetch_all("SELECT status, action_reply FROM saga_fence")
    if not rows:
        return "none"
    [(status, action_reply)] = rows
    return "undoing" if status == "started" and action_reply is not None else status


async def effects(harness: Harness) -> list[str]:
    return [kind for (kind,) in await harness.fetch_all("SELECT kind FROM effects ORDER BY rowid")]


OK = Reply(Outcome.SUCCESS, body=b'{"text":"well"}')
UNDONE = Reply(Outcome.SUCCESS)
NOTHING = Reply(Outcome.SUCCESS, Effect.NONE)


class Case(NamedTuple):
    row: str
    arrival: str
    epoch: int
    reply: tuple[Outcome, Effect, Reason | None]
    after: str
    added: list[str]


ARRIVALS: list[Case] = [
    Case("none", "action", 2, (Outcome.SUCCESS, Effect.DONE, None), "done", ["do"]),
    Case("none", "compensation", 2, (Outcome.SUCCESS, Effect.NONE, None), "cancelled", []),
    Case("started", "compensation", 2, (Outcome.RETRY, Effect.DONE, None), "started", []),
    Case("started", "action", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "started", []),
    Case("done", "action", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "done", []),
    Case("done", "action", 2, (Outcome.SUCCESS, Effect.DONE, None), "done", []),
    Case("done", "action", 3, (Outcome.SUCCESS, Effect.DONE, None), "done", []),
    Case("done", "compensation", 1, (Outcome.SUCCESS, Effect.DONE, None), "compensated", ["undo"]),
    Case("undoing", "action", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "undoing", []),
    Case("undoing", "action", 2, (Outcome.RETRY, Effect.DONE, None), "undoing", []),
    Case("undoing", "action", 3, (Outcome.RETRY, Effect.DONE, None), "undoing", []),
    Case("undoing", "compensation", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "undoing", []),
    Case("failed", "action", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "failed", []),
    Case("failed", "action", 2, (Outcome.FAILURE, Effect.DONE, Reason.REJECTED), "failed", []),
    Case("failed", "action", 3, (Outcome.SUCCESS, Effect.DONE, None), "done", ["do"]),
    Case("failed", "compensation", 1, (Outcome.SUCCESS, Effect.NONE, None), "cancelled", []),
    Case("cancelled", "action", 2, (Outcome.FAILURE, Effect.DONE, Reason.FENCED), "cancelled", []),
    Case("cancelled", "action", 9, (Outcome.FAILURE, Effect.DONE, Reason.FENCED), "cancelled", []),
    Case("cancelled", "compensation", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "cancelled", []),
    Case("cancelled", "compensation", 2, (Outcome.SUCCESS, Effect.NONE, None), "cancelled", []),
    Case("cancelled", "compensation", 3, (Outcome.SUCCESS, Effect.NONE, None), "cancelled", []),
    Case("compensated", "action", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "compensated", []),
    Case("compensated", "action", 2, (Outcome.FAILURE, Effect.DONE, Reason.FENCED), "compensated", []),
    Case("compensated", "compensation", 1, (Outcome.FAILURE, Effect.DONE, Reason.STALE), "compensated", []),
    Case("compensated", "compensation", 2, (Outcome.SUCCESS, Effect.DONE, None), "compensated", []),
    Case("compensated", "compensation", 3, (Outcome.SUCCESS, Effect.DONE, None), "compensated", []),
]


@pytest.mark.parametrize("case", ARRIVALS, ids=lambda case: f"{case.row}-{case.arrival}-{case.epoch}")
async def test_carried_out(case: Case) -> None:
    outside = Outside()
    async with await Harness.open(make_shop(outside), schema=SCHEMA) as harness:
        await brought_to(harness, case.row)
        before = await effects(harness)
        model = Do() if case.arrival == "action" else Undo()
        answer = await harness.send(model, saga_id="order-1", step="pay", epoch=case.epoch)
        assert (answer.outcome, answer.effect, answer.reason) == case.reply
        assert await status_of(harness) == case.after
        assert await effects(harness) == [*before, *case.added]
        assert outside.calls == []  # a call is begun by the worker, never inside the transaction


@pytest.mark.parametrize("state", ROWS)
async def test_any_arrival_sent_twice_is_answered_alike_and_takes_effect_once(state: str) -> None:
    for model in (Do(), Undo()):
        async with await Harness.open(make_shop(), schema=SCHEMA) as harness:
            await brought_to(harness, state)
            if (state, type(model)) in {("started", Do), ("undoing", Undo)}:
                continue  # the call is made again: see test_external and test_external_compensation
            first = await harness.send(model, saga_id="order-1", step="pay", epoch=2)
            after_first = await effects(harness)
            second = await harness.send(model, saga_id="order-1", step="pay", epoch=2, attempt=2)
            assert second == first
            assert await effects(harness) == after_first


async def test_the_whole_life_of_a_step() -> None:
    async with await Harness.open(make_shop(), schema=SCHEMA) as harness:
        where = {"saga_id": "order-1", "step": "pay"}
        assert await harness.send(Do(), **where) == OK
        assert await harness.send(Undo(), **where) == UNDONE
        assert await harness.send(Undo(), **where) == UNDONE
        assert (await harness.send(Do(), **where)).reason is Reason.FENCED
        assert await harness.send(Undo(), saga_id="order-2", step="pay") == NOTHING
        assert await effects(harness) == ["do", "undo"]
