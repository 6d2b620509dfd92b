"""Holds and pauses in every store: what stands still is found again, and costs what moves nothing."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.events import Act, Admitted
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.store.port import ActOutcome, Advance, Batch, Store
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import (
    NOW,
    Durable,
    Subject,
    cancel,
    decided,
    move,
    new_saga,
    rejection,
    start,
    start_running,
    stored,
    success,
)
from tests.contracts.test_store import REPLIES

PAYMENT = Pause(Hold("service:payment", "ann", "migration", NOW))
ORDERS = Pause(Hold("type:order", "bob", "stock-taking", NOW + 1), under_way=False)
HOLD = Act("act-1", EventKind.PAUSE, "ann", "look at this")


async def test_a_held_saga_is_read_back_and_its_timer_does_not_run(store: Store) -> None:
    await start_running(store)

    held = await move(store, HOLD)

    assert (await stored(store)).held == held.held == Hold("operator", "ann", "look at this", NOW)
    assert await stored(store) == held
    assert await store.next_wake_at() is None
    assert await store.due(NOW + 10**9, 10) == []


async def test_a_saga_that_is_held_in_the_batch_that_accepts_it_is_read_back_as_held(store: Store) -> None:
    held = decided(new_saga(), HOLD).saga
    await start(store, held)

    assert (await stored(store)).held == Hold("operator", "ann", "look at this", NOW)
    assert await stored(store) == held


async def test_a_saga_that_goes_on_is_held_no_longer(store: Store) -> None:
    await start_running(store)
    await move(store, HOLD)
    await move(store, Act("act-2", EventKind.RESUME, "ann", "looked"), now=NOW + 60_000)

    assert (await stored(store)).held is None
    assert await store.count_held() == {}
    assert await store.next_wake_at() == NOW + 65_000


async def test_what_is_held_is_found_by_its_scope_what_is_undone_first_then_the_oldest(store: Store) -> None:
    for number in (1, 2, 3, 4):
        await start_running(store, f"order-{number}")
    await move(store, success("reserve_inventory", reservation_id="r-1"), "order-3")
    await move(store, rejection("process_payment", "card declined"), "order-3")
    for number in (2, 1, 3):
        await move(store, HOLD, f"order-{number}")

    assert [ref.saga_id for ref in await store.held("operator", 10)] == ["order-3", "order-1", "order-2"]
    assert [ref.saga_id for ref in await store.held("operator", 1)] == ["order-3"]
    assert await store.held("service:payment", 10) == []
    assert await store.count_held() == {
        ("operator", SagaState.RUNNING): 2,
        ("operator", SagaState.COMPENSATING): 1,
    }


async def test_a_saga_that_has_ended_is_not_among_the_held(store: Store) -> None:
    await start(store, new_saga())
    await move(store, HOLD)

    await move(store, Act("act-2", EventKind.CANCEL, "ann", "not wanted"))

    assert await store.count_held() == {}


async def test_sagas_that_are_held_or_of_a_paused_type_do_not_wait_for_admission(store: Store) -> None:
    await start(store, *(new_saga(f"order-{number}") for number in (1, 2, 3)))
    await move(store, HOLD, "order-2")

    assert [ref.saga_id for ref in await store.pending(10)] == ["order-1", "order-3"]
    assert [ref.saga_id for ref in await store.pending(10, {"other"})] == ["order-1", "order-3"]
    assert await store.pending(10, {"order"}) == []
    assert await store.count_pending_of({"order", "other"}) == 2
    assert await store.count_pending_of({"other"}) == 0


async def test_pauses_are_kept_until_they_are_lifted(store: Store) -> None:
    await store.commit(Batch(NOW, pauses={PAYMENT.hold.scope: PAYMENT, ORDERS.hold.scope: ORDERS}))
    assert await store.pauses() == {PAYMENT.hold.scope: PAYMENT, ORDERS.hold.scope: ORDERS}

    wider = ORDERS._replace(under_way=True)
    await store.commit(Batch(NOW, pauses={PAYMENT.hold.scope: None, ORDERS.hold.scope: wider}))
    assert await store.pauses() == {ORDERS.hold.scope: wider}


async def test_a_pause_and_its_acts_outcome_are_written_as_one_R25(subject: Subject) -> None:
    await subject.queue_act(cancel("act-1"))
    await subject.store.commit(Batch(NOW, offsets={REPLIES: Advance(None, 5)}))
    batch = Batch(
        NOW,
        offsets={REPLIES: Advance(4, 6)},
        acts=[ActOutcome("act-1", "done", "paused")],
        pauses={PAYMENT.hold.scope: PAYMENT},
    )

    with pytest.raises(ConflictError):
        await subject.store.commit(batch)

    assert await subject.store.pauses() == {}
    assert await subject.act_outcome("act-1") is None


async def test_holds_and_pauses_survive_a_restart(durable: Durable) -> None:
    await start(durable.store, new_saga())
    held = await move(durable.store, HOLD)
    await durable.store.commit(Batch(NOW, pauses={PAYMENT.hold.scope: PAYMENT}))

    await durable.reopen()

    assert await stored(durable.store) == held
    assert await durable.store.pauses() == {PAYMENT.hold.scope: PAYMENT}
    assert await durable.store.held("operator", 10) == [SagaRef("order", "order-1")]
    await move(durable.store, Act("act-2", EventKind.RESUME, "ann", "looked"))
    await move(durable.store, Admitted())
