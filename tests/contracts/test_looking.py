"""What pages, `saga watch` and doctor ask of a store beside whoever works on it: the same of a file and a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from kafka_saga.orchestrator.machine.events import Act, Event, Replied
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.store import looking
from kafka_saga.orchestrator.store.looking import EndedInMinute, Failure, StoppedAt, WantedActs, acts_between
from kafka_saga.orchestrator.store.port import ActOutcome, Batch
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import (
    AtStep,
    count_ahead,
    read_saga_at,
    unfinished_among,
)
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase, SagaRef
from tests.contracts.postgres import InPostgres
from tests.contracts.stores import (
    NOW,
    Durable,
    InSqlite,
    cancel,
    finish,
    move,
    new_saga,
    rejection,
    start,
    start_running,
    success,
)

MINUTE = NOW // 60_000
BUSY = Replied("reserve_inventory", Phase.FORWARD, 1, Outcome.RETRY, attempt=1, body={"error": "busy"})
STUCK = Replied(
    "reserve_inventory", Phase.COMPENSATE, 1, Outcome.FAILURE, attempt=1, body={"error": "the shelf is locked"}
)
HOLD = Act("hold", EventKind.PAUSE, "ann", "look at this")
FORWARD = ("reserve_inventory", "process_payment", "create_order")
REPLIES = {"reservation_id": "r"}, {"charge_id": "c"}, {"order_number": "n"}


@dataclass
class Beside:
    """A store in which something is at every stage, and a reader beside it."""

    durable: Durable
    reader: StoreReader

    async def key(self, saga_id: str) -> int:
        return (await self.reader.find(saga_id)).row


async def happen(durable: Durable, saga_id: str, *events: Event, began: int, ms: int = 1_000) -> None:
    """A saga runs from `began` on, an event each `ms`."""
    await start_running(durable.store, saga_id, began)
    for number, event in enumerate(events, 1):
        await move(durable.store, event, saga_id, began + number * ms)


@pytest.fixture
async def beside(durable: Durable) -> AsyncIterator[Beside]:
    reserved = success(FORWARD[0], **REPLIES[0])
    await happen(durable, "moves-1", began=NOW)
    await happen(durable, "moves-2", reserved, began=NOW + 1)
    await happen(durable, "retries", BUSY, began=NOW + 2)
    await finish(durable.store, "undone-1", NOW + 3)
    await finish(durable.store, "undone-2", NOW + 60_000)
    await happen(durable, "stuck", reserved, rejection(FORWARD[1], "no such card"), STUCK, began=NOW + 4)
    every = [success(step, **reply) for step, reply in zip(FORWARD, REPLIES, strict=True)]
    await happen(durable, "done", *every, began=NOW + 120_000)
    await start(durable.store, new_saga("waits-1"), new_saga("waits-2"))
    await happen(durable, "held", HOLD, began=NOW + 5)
    assert isinstance(durable, InSqlite | InPostgres)
    reader = await StoreReader.open(durable.path if isinstance(durable, InSqlite) else durable.at)
    yield Beside(durable, reader)
    await reader.close()


async def test_open_failures_are_grouped_by_their_words_and_steps(beside: Beside) -> None:
    await happen(beside.durable, "retries-2", BUSY, began=NOW + 6)
    parked = Failure(
        "parked",
        "order",
        1,
        1,
        True,
        "the shelf is locked",
        "compensation_failed",
        1,
        "stuck",
        NOW + 3_004,
        NOW + 3_004,
    )
    retrying = Failure("retrying", "order", 1, 1, False, "busy", None, 2, "retries", NOW + 1_002, NOW + 1_006)
    assert await looking.open_failures(beside.reader, 100) == ([retrying, parked], 0)
    assert await looking.open_failures(beside.reader, 0) == ([], 0)
    assert await looking.parked_at(beside.reader, 100) == [StoppedAt("order", 1, 1, undoing=True, number=1)]


async def test_why_sagas_were_undone_is_asked_of_a_range_of_keys(beside: Beside) -> None:
    both = Failure("undone", "order", 1, 1, False, "sold out", None, 2, "undone-1", NOW + 3, NOW + 60_000)
    first, second, end = await beside.key("undone-1"), await beside.key("undone-2"), await beside.reader.next_key()
    assert await looking.undone_failures(beside.reader, 0, end) == ([both], 0)
    alone = both._replace(number=1, example="undone-2", first_at=NOW + 60_000)
    assert await looking.undone_failures(beside.reader, second, end) == ([alone], 0)
    assert await looking.undone_failures(beside.reader, first + 1, second) == ([], 0)


async def test_what_ended_is_counted_by_minute(beside: Beside) -> None:
    found = await looking.ended_by_minute(beside.reader, 0, await beside.reader.next_key())
    assert sorted(found) == [
        EndedInMinute(MINUTE, "COMPENSATED", 1),
        EndedInMinute(MINUTE + 1, "COMPENSATED", 1),
        EndedInMinute((NOW + 123_000) // 60_000, "COMPLETED", 1),
    ]
    assert await looking.ended_by_minute(beside.reader, 0, await beside.key("undone-1")) == []


async def test_logs_and_versions_are_read_by_ranges_of_keys(beside: Beside) -> None:
    first, end = await beside.key("undone-1"), await beside.key("done")
    logs = await looking.logs_between(beside.reader, first, end)
    assert await looking.versions_between(beside.reader, first, end) == dict.fromkeys(logs, ("order", 1))
    expected = {
        key: [entry._replace(detail={}) for entry in await beside.reader.log(await beside.reader.find(saga_id))]
        for saga_id in ("undone-1", "undone-2", "stuck")
        for key in [await beside.key(saga_id)]
    }
    assert logs == expected
    assert all(logs.values())


async def test_the_acts_of_one_bulk_act_are_those_whose_ids_begin_with_it(beside: Beside) -> None:
    for act_id in ("b1/1", "b10/1", "b1/2", "b1"):
        await beside.durable.queue_act(cancel(act_id))
    reader = beside.reader
    assert [act.act_id for act in await reader.acts(9, bulk_id="b1")] == ["b1/2", "b1/1"]
    assert [act.act_id for act in await reader.acts(1, bulk_id="b1", waiting=True)] == ["b1/2"]
    assert await reader.acts(9, bulk_id="b1", saga_type="trip") == []


async def test_acts_are_read_backwards_page_by_page_and_by_who_what_and_outcome(beside: Beside) -> None:
    reader, retry = beside.reader, Act("act-2", EventKind.RETRY_NOW, "ann", "the shelf is free")
    for queued in (cancel("act-1"), replace(cancel("act-2"), act=retry), cancel("act-3", "moves-1")):
        await beside.durable.queue_act(queued)
    await beside.durable.store.commit(
        Batch(NOW + 200_000, acts=[ActOutcome("act-1", "refused", "there is no such saga")])
    )

    async def ids(before: int = 2**62, limit: int = 10, first: int = 0, **wanted: str) -> list[str]:
        return [act.act_id for _, act in await acts_between(reader, WantedActs(**wanted), first, before, limit)]

    assert await ids() == ["act-3", "act-2", "act-1"]
    [(number, newest)] = await acts_between(reader, WantedActs(), 0, 2**62, 1)
    assert (newest.act_id, number + 1) == ("act-3", await looking.next_act(reader))
    assert await ids(before=number, limit=1) == ["act-2"]
    assert await ids(first=number) == ["act-3"]
    assert await ids(actor="ann") == await ids(verb="retry_now") == ["act-2"]
    assert await ids(outcome="waiting") == ["act-3", "act-2"]
    assert await ids(outcome="refused", actor="ops") == ["act-1"]
    assert await ids(outcome="refused", actor="ann") == []
    [(_, refused)] = await acts_between(reader, WantedActs(outcome="refused"), 0, 2**62, 1)
    assert (refused.message, refused.decided_at, refused.verb) == ("there is no such saga", NOW + 200_000, "cancel")


async def test_the_oldest_that_move_are_neither_parked_nor_pending(beside: Beside) -> None:
    moving = await looking.oldest_moving(beside.reader, 10)
    assert [saga.ref.saga_id for saga in moving] == ["moves-1", "moves-2", "retries", "held"]
    assert [saga.ref.saga_id for saga in await looking.oldest_moving(beside.reader, 2)] == ["moves-1", "moves-2"]
    assert moving[1] == await beside.reader.find("moves-2")


async def test_where_sagas_stand_is_counted_of_those_that_nobody_holds(beside: Beside) -> None:
    running = SagaState.RUNNING
    assert sorted(await looking.steps_stood_at(beside.reader, running, 10)) == [
        AtStep(running, "order", 1, 1, 2, await beside.key("moves-1")),
        AtStep(running, "order", 1, 2, 1, await beside.key("moves-2")),
    ]
    assert len(await looking.steps_stood_at(beside.reader, running, 1)) == 1
    assert await looking.steps_stood_at(beside.reader, SagaState.COMPENSATING, 10) == []


async def test_unfinished_sagas_are_counted_by_version_and_state(beside: Beside) -> None:
    assert sorted(await looking.unfinished_by_version(beside.reader)) == [
        ("order", 1, "PARKED", 1), ("order", 1, "PENDING", 2), ("order", 1, "RUNNING", 4),
    ]  # fmt: skip


async def test_timers_come_in_their_order_and_page_by_page(beside: Beside) -> None:
    every = await beside.reader.timers(10)
    assert sorted(saga.ref.saga_id for saga in every) == ["moves-1", "moves-2", "retries"], "neither held nor parked"
    places = [(saga.wake_at or 0, saga.row) for saga in every]
    assert places == sorted(places)
    assert await beside.reader.timers(1) == every[:1]
    assert await beside.reader.timers(10, after=places[0]) == every[1:]
    assert await beside.reader.timers(10, after=places[-1]) == []
    assert await beside.reader.timers(10, saga_type="refund") == []
    assert [await looking.count_timers(beside.reader, most) for most in (0, 2, 10)] == [0, 2, 3]


async def test_two_timers_of_one_moment_are_told_apart_by_their_keys(beside: Beside) -> None:
    await happen(beside.durable, "moves-3", began=NOW)
    first, second = [await beside.reader.find(saga_id) for saga_id in ("moves-1", "moves-3")]
    assert first.wake_at == second.wake_at
    [following] = await beside.reader.timers(1, after=(first.wake_at or 0, first.row))
    assert following == second


async def test_marks_tell_how_far_sagas_have_come(beside: Beside) -> None:
    reader, refs = beside.reader, [SagaRef("order", saga_id) for saga_id in ("moves-2", "done", "nonesuch")]
    before, marks = await reader.open_marks(100), await reader.marks_of(refs)
    open_ones = ["moves-1", "moves-2", "retries", "stuck", "waits-1", "waits-2", "held"]
    assert before.keys() == {await beside.key(saga_id) for saga_id in open_ones}
    assert marks == {ref: len(await reader.log(await reader.find(ref.saga_id))) for ref in refs[:2]}
    assert len(await reader.open_marks(3)) == 3
    assert await reader.marks_of([]) == {}
    await move(beside.durable.store, BUSY, "moves-1", NOW + 2_000)
    after = await reader.open_marks(100)
    assert {key for key in after if after[key] != before[key]} == {await beside.key("moves-1")}


async def test_what_changed_is_read_by_keys_and_by_a_range(beside: Beside) -> None:
    reader = beside.reader
    keys, done = {await beside.key("moves-1"), await beside.key("stuck")}, await beside.key("done")
    end = await reader.next_key()

    async def ids(keys: set[int], first: int, end: int, limit: int = 100) -> list[str]:
        return [saga.ref.saga_id for saga in await reader.changed(keys, first, end, limit)]

    assert await ids(keys, done, end) == ["held", "waits-2", "waits-1", "done", "stuck", "moves-1"]
    assert await ids(keys, 0, 0) == ["stuck", "moves-1"]
    assert await ids(set(), done, done + 1) == ["done"]
    assert await ids(keys, done, end, limit=2) == ["held", "waits-2"]
    assert await ids(set(), 0, 0) == []
    assert await reader.changed(keys, 0, 0, 1) == [await reader.find("stuck")]


async def test_what_doctor_asks_of_single_sagas(beside: Beside) -> None:
    reader = beside.reader
    assert await read_saga_at(reader, await beside.key("stuck")) == await reader.find("stuck")
    assert await read_saga_at(reader, 10**9) is None
    ids = ["moves-1", "done", "undone-1", "stuck", "nonesuch"]
    assert await unfinished_among(reader, ["order"], ids) == {SagaRef("order", "moves-1"), SagaRef("order", "stuck")}
    assert await unfinished_among(reader, ["refund"], ids) == set()
    assert await unfinished_among(reader, ["order"], []) == set()
    second = await reader.find("waits-2")
    assert await count_ahead(reader, second) == 1
