"""Acts from the operator's desk to the engine and back: what he is told is what happened (R25)."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.operations.acts.acting import HOLDER_GRACE_MS, UNATTENDED, look, meant_for, send
from kafka_saga.orchestrator.operations.acts.following import Result, Standing
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.postgres.tables import PostgresTables
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import NotFoundError, RefusedError, StoreRefusedError, StoreUnavailableError, UsageError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from tests.machine.worlds import plain_saga
from tests.operations.conftest import Desk

CANCEL, RETRY, SKIP, RESOLVE = EventKind.CANCEL, EventKind.RETRY_NOW, EventKind.SKIP, EventKind.RESOLVE


# --- a retry is judged by the reply ---------------------------------------------------------------


async def test_a_retry_of_a_parked_compensation_succeeds_when_its_reply_is_in_R14(desk: Desk) -> None:
    await desk.park()
    queued = await desk.send(desk.act(RETRY))
    await desk.world.pass_time(200)
    assert (await look(desk.reader, [queued]))["act-1"] == Standing(
        Result.WAITING, "'reserve_inventory' was sent again, and its reply has not come"
    )

    standing = await desk.wait(queued, desk.answers("releaseItems", Outcome.SUCCESS))

    assert standing == Standing(Result.SUCCEEDED, "'reserve_inventory' is undone")
    assert str(desk.last("releaseItems").head.command_id).endswith("compensate/2")
    assert (await desk.world.saga()).state is SagaState.COMPENSATED


async def test_a_retry_that_fails_again_has_failed(desk: Desk) -> None:
    await desk.park()
    queued = await desk.send(desk.act(RETRY))
    await desk.world.pass_time(200)

    standing = await desk.wait(queued, desk.answers("releaseItems", Outcome.FAILURE, body={"error": "still gone"}))

    assert standing == Standing(Result.FAILED, "'reserve_inventory' failed again: still gone")
    assert (await desk.world.saga()).state is SagaState.PARKED


async def test_a_retry_whose_reply_does_not_come_has_failed_with_the_timeout(desk: Desk) -> None:
    await desk.park()

    standing = await desk.wait(await desk.send(desk.act(RETRY)))

    assert standing == Standing(Result.FAILED, "'reserve_inventory' failed again: no reply within 5 s")


async def test_a_retry_finds_that_there_is_nothing_to_undo(desk: Desk) -> None:
    await desk.park()
    queued = await desk.send(desk.act(RETRY))
    await desk.world.pass_time(200)

    standing = await desk.wait(queued, desk.answers("releaseItems", Outcome.SUCCESS, effect=Effect.NONE))

    assert standing.result is Result.SUCCEEDED
    assert "nothing to undo" in standing.message


async def test_a_retry_skips_the_backoff(desk: Desk) -> None:
    command = await desk.world.begin()
    desk.world.answer(command, Outcome.RETRY, body={"error": "busy"})
    await desk.world.turn(2)
    queued = await desk.send(desk.act(RETRY, step="reserve_inventory"))
    await desk.world.pass_time(200)

    standing = await desk.wait(queued, desk.answers("reserveItems", Outcome.SUCCESS))

    assert standing == Standing(Result.SUCCEEDED, "'reserve_inventory' is done")
    assert desk.last("reserveItems").head.attempt == 2


async def test_a_retry_that_somebody_else_overtakes_says_so(desk: Desk) -> None:
    await desk.park()
    queued = await desk.send(desk.act(RETRY))
    await desk.world.pass_time(200)
    await desk.send(desk.act(SKIP, step="reserve_inventory"))

    standing = await desk.wait(queued)

    assert standing.result is Result.FAILED
    assert "ann@desk acted before the reply came (skip)" in standing.message


async def test_a_retry_where_the_service_has_forgotten_the_saga_is_refused_R16(desk: Desk) -> None:
    await desk.park(reason=Reason.FENCE_EXPIRED)

    standing = await desk.wait(await desk.send(desk.act(RETRY)))

    assert standing.result is Result.REFUSED
    assert "skip the step or resolve the saga" in standing.message


# --- the other verbs ------------------------------------------------------------------------------


async def test_a_cancel_succeeds_when_what_was_done_is_undone_R19(desk: Desk) -> None:
    await desk.world.begin()
    queued = await desk.send(desk.act(CANCEL))
    await desk.world.pass_time(200)
    assert (await look(desk.reader, [queued]))["act-1"].result is Result.WAITING

    standing = await desk.wait(queued, desk.answers("releaseItems", Outcome.SUCCESS))

    assert standing == Standing(Result.SUCCEEDED, "what was done is undone: the saga is COMPENSATED")
    assert (await desk.world.saga()).error == "cancelled by ann@desk: told to"


async def test_a_cancel_that_ends_parked_has_failed(desk: Desk) -> None:
    await desk.world.begin()
    queued = await desk.send(desk.act(CANCEL))
    await desk.world.pass_time(200)

    standing = await desk.wait(queued, desk.answers("releaseItems", Outcome.FAILURE, body={"error": "locked"}))

    assert standing.result is Result.FAILED
    assert "PARKED while being undone: locked" in standing.message


async def test_a_cancel_of_a_held_saga_says_that_it_stands_still(desk: Desk) -> None:
    await desk.world.begin()
    await desk.wait(await desk.send(desk.act(EventKind.PAUSE)))

    standing = await desk.wait(await desk.send(desk.act(CANCEL)))

    assert (standing.result, standing.stalled) == (Result.WAITING, True)
    assert "held by ann@desk: told to: it is undone when it is resumed" in standing.message
    assert desk.world.sent("releaseItems") == []


async def test_a_pause_does_not_overtake_a_retry(desk: Desk) -> None:
    await desk.park()
    queued = await desk.send(desk.act(RETRY))
    await desk.world.pass_time(200)
    await desk.wait(await desk.send(desk.act(EventKind.PAUSE)))

    standing = await desk.wait(queued, desk.answers("releaseItems", Outcome.SUCCESS))

    assert standing == Standing(Result.SUCCEEDED, "'reserve_inventory' is undone")


async def test_a_cancel_after_the_end_is_refused_R19(desk: Desk) -> None:
    await desk.world.begin()
    for command in ("reserveItems", "chargePayment", "createOrder"):
        await desk.world.succeed(command)
        await desk.world.turn()

    standing = await desk.wait(await desk.send(desk.act(CANCEL)))

    assert standing.result is Result.REFUSED
    assert "has completed" in standing.message


async def test_a_skip_goes_on_with_the_data_given(desk: Desk) -> None:
    await desk.world.begin()
    await desk.world.succeed("reserveItems")
    await desk.world.turn()

    standing = await desk.wait(await desk.send(desk.act(SKIP, step="process_payment", data={"charge_id": "by-hand"})))

    assert standing == Standing(Result.SUCCEEDED, "'process_payment' is taken as done by hand")
    assert desk.last("createOrder").body["charge_id"] == "by-hand"


async def test_a_resolve_ends_a_parked_saga(desk: Desk) -> None:
    await desk.park()

    standing = await desk.wait(await desk.send(desk.act(RESOLVE, **{"as": "compensated"})))

    assert standing == Standing(Result.SUCCEEDED, "the saga is taken as compensated by hand")
    assert (await desk.world.saga()).state is SagaState.COMPENSATED


# --- two operators, and scripts that repeat themselves --------------------------------------------


async def test_the_same_verb_from_two_tabs_is_done_once(desk: Desk) -> None:
    await desk.world.begin()
    first = await desk.send(desk.act(CANCEL))
    second = await desk.send(desk.act(CANCEL))
    await desk.world.pass_time(200)

    standing = await look(desk.reader, [first, second])

    assert (standing["act-1"].result, standing["act-2"].result) == (Result.WAITING, Result.REFUSED)
    assert "was RUNNING when you looked and is COMPENSATING now" in standing["act-2"].message
    assert len(desk.world.sent("releaseItems")) == 1


async def test_the_same_act_id_twice_is_one_act_R25(desk: Desk) -> None:
    await desk.park()
    act = desk.act(RETRY, act_id="ticket-17")
    first = await desk.wait(await desk.send(act), *[lambda: None] * 3, desk.answers("releaseItems", Outcome.SUCCESS))
    sent = len(desk.world.sent("releaseItems"))

    again = await desk.wait(await desk.send(act))

    assert first == again == Standing(Result.SUCCEEDED, "'reserve_inventory' is undone")
    assert len(desk.world.sent("releaseItems")) == sent


async def test_an_act_id_is_not_used_for_something_else(desk: Desk) -> None:
    await desk.park()
    await desk.send(desk.act(RETRY, act_id="ticket-17"))

    with pytest.raises(RefusedError, match="was used for another act"):
        await desk.send(desk.act(SKIP, act_id="ticket-17", step="reserve_inventory"))

    await desk.world.pass_time(200)
    assert (await desk.reader.acts_by_id(["ticket-17"]))["ticket-17"].outcome == "done"
    assert (await desk.world.saga()).state is SagaState.COMPENSATING


async def test_an_act_meant_for_another_state_is_refused_R25(desk: Desk) -> None:
    await desk.park()

    standing = await desk.wait(await desk.send(desk.act(RETRY, state=SagaState.RUNNING)))

    assert standing.result is Result.REFUSED
    assert "was RUNNING when you looked and is PARKED now" in standing.message


# --- nobody there, nothing there, nonsense --------------------------------------------------------


async def test_without_an_orchestrator_the_act_waits_and_is_taken_later_R25(desk: Desk) -> None:
    await desk.world.begin()
    queued = await desk.send(desk.act(CANCEL))
    await desk.world.crash()
    desk.holder = None
    desk.clock.world = Still(desk)  # type: ignore[assignment] -- time passes, and nothing else happens

    assert await desk.wait(queued) == UNATTENDED
    assert desk.world.clock.monotonic_ms() >= HOLDER_GRACE_MS

    await desk.world.start()
    await desk.world.pass_time(200)
    assert (await desk.reader.acts_by_id(["act-1"]))["act-1"].outcome == "done"


class Still:
    def __init__(self, desk: Desk) -> None:
        self.clock = desk.world.clock

    async def pass_time(self, duration_ms: int) -> None:
        self.clock.advance(duration_ms)


async def test_an_operator_waits_only_as_long_as_he_wants(desk: Desk) -> None:
    await desk.world.begin()

    standing = await desk.wait(await desk.send(desk.act(CANCEL)), timeout_ms=1_000)

    assert standing == Standing(Result.WAITING, "the saga is COMPENSATING: what was done is being undone")


async def test_an_act_on_a_saga_that_is_not_there(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await desk.send(desk.act(CANCEL), "order-9")


async def test_an_act_on_a_saga_that_went_meanwhile_is_refused_by_the_engine(desk: Desk) -> None:
    await desk.world.begin()
    queued = await meant_for(desk.reader, desk.act(CANCEL), "order-1")
    gone = replace(queued, ref=queued.ref._replace(saga_id="order-9"))
    await send(desk.queue, desk.reader, [gone], 0)
    await desk.world.pass_time(200)

    assert (await look(desk.reader, [gone]))["act-1"] == Standing(Result.REFUSED, "there is no saga order/order-9")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"verb": "'obliterate'"}, "does not know the verb 'obliterate'"),
        ({"verb": "'success'"}, "does not know the verb 'success'"),
        ({"arguments": "'not json'"}, "not a JSON object"),
        ({"arguments": "'[1]'"}, "not a JSON object"),
        ({"reason": "x'ff00'"}, "must be text"),
    ],
)
async def test_an_act_that_nobody_understands_is_refused_and_stops_nothing(
    desk: Desk, columns: dict[str, str], complaint: str
) -> None:
    await desk.world.begin()
    row = {
        "act_id": "'odd'", "saga_type": "'order'", "saga_id": "'order-1'", "verb": "'cancel'", "arguments": "'{}'",
        "actor": "'x'", "reason": "'x'", "created_at": "0", **columns,
    }  # fmt: skip
    if isinstance(desk.queue.tables, PostgresTables):
        if columns.get("reason"):
            pytest.skip("its columns of text hold nothing else")
        row |= {"hash": "0"}
    await desk.by_hand(f"INSERT INTO {desk.schema}acts ({', '.join(row)}) VALUES ({', '.join(row.values())})")
    good = await desk.send(desk.act(CANCEL))
    await desk.world.pass_time(200)

    refused = (await desk.reader.acts_by_id(["odd"]))["odd"]
    assert (refused.outcome, complaint in (refused.message or "")) == ("refused", True)
    assert (await desk.reader.acts_by_id([good.act.act_id]))["act-1"].outcome == "done"


async def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.db"
    with pytest.raises(StoreUnavailableError, match="there is no store"):
        await ActQueue.open(nowhere)
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ("INSERT INTO schema_version VALUES (9999, 'from the future')", "version 9999.*use the newer kafka-saga"),
        ("DELETE FROM schema_version WHERE version > 1", "version 1,.*start `saga orchestrator` once"),
    ],
)
async def test_a_store_of_another_version_is_not_read_and_gets_no_acts(
    tmp_path: Path, change: str, advice: str
) -> None:
    path = tmp_path / "orchestrator.db"
    await (await open_store(path, SystemClock())).close()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(StoreRefusedError, match=advice):
        await StoreReader.open(path)


async def test_an_act_cannot_take_the_place_of_a_sagas_start(desk: Desk) -> None:
    await desk.world.begin()
    with pytest.raises(UsageError, match="those of sagas' starts"):
        await desk.send(desk.act(CANCEL, act_id="start:order:order-2"))
    assert await desk.reader.acts(10) == []


@pytest.mark.parametrize("field", ["act_id", "actor", "reason"])
@pytest.mark.parametrize("text", ["", "x" * (ACT_TEXT_LENGTH_MAX + 1)])
async def test_texts_have_a_length(desk: Desk, field: str, text: str) -> None:
    await desk.world.begin()
    act = replace(desk.act(CANCEL), **{field: text})
    with pytest.raises(UsageError, match="1 to 500"):
        await desk.send(act)


async def test_data_is_no_larger_than_a_reply_may_be(desk: Desk) -> None:
    await desk.world.begin()
    with pytest.raises(UsageError, match="262,144"):
        await desk.send(desk.act(SKIP, step="reserve_inventory", data={"x": "y" * PAYLOAD_BYTES_MAX}))


async def test_a_saga_whose_definition_no_code_has_can_be_resolved_and_nothing_else_R30(desk: Desk) -> None:
    await desk.world.begin()
    await desk.world.crash()
    await desk.world.start(plain_saga, park_missing=True)
    assert (await desk.world.saga()).state is SagaState.PARKED

    retried = await desk.wait(await desk.send(desk.act(RETRY)))
    resolved = await desk.wait(await desk.send(desk.act(RESOLVE, **{"as": "compensated"})))

    assert retried.result is Result.REFUSED
    assert "no code has version 1 of saga 'order'" in retried.message
    assert resolved.result is Result.SUCCEEDED
    assert (await desk.world.saga()).state is SagaState.COMPENSATED


async def test_after_the_code_is_back_a_retry_goes_on_with_a_new_epoch_R30(desk: Desk) -> None:
    await desk.world.begin()
    await desk.world.crash()
    await desk.world.start(plain_saga, park_missing=True)
    await desk.world.crash()
    await desk.world.start()
    queued = await desk.send(desk.act(RETRY))
    await desk.world.pass_time(200)

    standing = await desk.wait(queued, desk.answers("reserveItems", Outcome.SUCCESS))

    assert standing == Standing(Result.SUCCEEDED, "'reserve_inventory' is done")
    assert str(desk.last("reserveItems").head.command_id).endswith("forward/2")
