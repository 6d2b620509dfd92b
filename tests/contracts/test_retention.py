"""What every store forgets, what it keeps of it (R29), and that it never forgets what has not ended."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, NotedAct, QueuedAct, Started, Store
from kafka_saga.orchestrator.store.retention import Purge, Purged, PurgeStep, QueuedPurge
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import (
    HASH,
    NOW,
    Durable,
    InMemory,
    Subject,
    cancel,
    finish,
    new_saga,
    start,
    start_running,
)

LATER = NOW + 1_000_000
EVERYTHING = Purge(LATER)


def ref(saga_id: str) -> SagaRef:
    return SagaRef("order", saga_id)


async def purge_all(store: Store, wanted: Purge = EVERYTHING, rows_max: int = 100) -> int:
    """Purge to the end; how many."""
    queued, purged = QueuedPurge("", wanted), 0
    while True:
        step = await store.purge(queued, rows_max)
        purged += step.purged
        if step.next_key is None:
            return purged
        queued = replace(queued, from_key=step.next_key)


async def there(store: Store, *saga_ids: str) -> list[str]:
    return sorted(found.saga_id for found in await store.load([ref(saga_id) for saga_id in saga_ids]))


async def test_a_purged_saga_is_gone_with_its_log_but_for_its_identity_R29(subject: Subject) -> None:
    ended = await finish(subject.store)
    assert await subject.log(ended.ref) != []
    subject.clock.at_ms = LATER
    assert await purge_all(subject.store) == 1
    assert await there(subject.store, "order-1") == []
    assert await subject.log(ended.ref) == []
    kept = Purged(ended.ref, SagaState.COMPENSATED, HASH, ended.created_at, ended.updated_at, LATER)
    assert await subject.store.load_purged([ended.ref, ref("order-2")]) == {ended.ref: kept}


async def test_what_has_not_ended_is_never_purged_whatever_its_state(store: Store) -> None:
    await start(store, new_saga("order-1"))
    await start_running(store, "order-2")
    await start(store, replace(new_saga("order-3"), state=SagaState.COMPENSATING))
    assert await purge_all(store) == 0
    assert await there(store, "order-1", "order-2", "order-3") == ["order-1", "order-2", "order-3"]
    assert await store.load_purged([ref("order-1")]) == {}


async def test_only_what_ended_before_the_cut_is_purged(store: Store) -> None:
    for number in range(4):
        await finish(store, f"order-{number}", NOW + number)
    assert await purge_all(store, Purge(NOW + 2)) == 2
    assert await there(store, *[f"order-{number}" for number in range(4)]) == ["order-2", "order-3"]


async def test_a_saga_that_ended_late_holds_up_no_other(store: Store) -> None:
    """It was accepted first, and ends after the cut."""
    ended = replace(new_saga("order-1"), state=SagaState.COMPLETED, updated_at=NOW + 500)
    await store.commit(Batch(NOW, started=[Started(ended, HASH)]))
    await finish(store, "order-2", NOW + 1)
    assert await purge_all(store, Purge(NOW + 100)) == 1
    assert await there(store, "order-1", "order-2") == ["order-1"]


async def test_a_purge_keeps_to_its_type_and_its_states(store: Store) -> None:
    await finish(store, "order-1")
    done = replace(new_saga("order-2"), state=SagaState.COMPLETED)
    other = replace(done, ref=SagaRef("shipment", "order-2"))
    await store.commit(Batch(NOW, started=[Started(done, HASH), Started(other, HASH)]))
    assert await purge_all(store, Purge(LATER, "order", frozenset({SagaState.COMPLETED}))) == 1
    assert set(await store.load([ref("order-1"), ref("order-2"), other.ref])) == {ref("order-1"), other.ref}
    assert set(await store.load_purged([ref("order-2"), other.ref])) == {ref("order-2")}


async def test_a_step_looks_at_so_many_sagas_and_says_where_to_go_on(store: Store) -> None:
    await start_running(store, "order-0")
    for number in range(1, 5):
        await finish(store, f"order-{number}")
    first = await store.purge(QueuedPurge("", EVERYTHING), 2)
    assert first.purged == 1
    assert first.next_key is not None
    second = await store.purge(QueuedPurge("", EVERYTHING, first.next_key), 2)
    assert (second.purged, await there(store, "order-0", "order-4")) == (2, ["order-0", "order-4"])
    assert await store.purge(QueuedPurge("", EVERYTHING, second.next_key or 0), 2) == PurgeStep(1, None)


async def test_a_purge_that_was_asked_for_goes_on_where_it_was_and_is_done_once(subject: Subject) -> None:
    for number in range(3):
        await finish(subject.store, f"order-{number}")
    await subject.queue_purge(QueuedPurge("p-1", EVERYTHING))
    [queued] = await subject.store.waiting_purges()
    assert queued == QueuedPurge("p-1", EVERYTHING)
    step = await subject.store.purge(queued, 2)
    [queued] = await subject.store.waiting_purges()
    assert queued == QueuedPurge("p-1", EVERYTHING, step.next_key or 0)
    assert await subject.store.purge(queued, 2) == PurgeStep(1, None)
    assert await subject.store.waiting_purges() == []


async def test_identities_are_forgotten_the_oldest_first_and_so_many_at_once(subject: Subject) -> None:
    store = subject.store
    for number in range(4):
        await finish(store, f"order-{number}", NOW + number)
        subject.clock.at_ms = LATER + number
        await purge_all(store)
    refs = [ref(f"order-{number}") for number in range(4)]
    assert await store.forget_purged(LATER, 10) == 0
    assert await store.forget_purged(LATER + 3, 2) == 2
    assert set(await store.load_purged(refs)) == set(refs[2:])
    assert await store.forget_purged(LATER + 3, 2) == 1
    assert set(await store.load_purged(refs)) == set(refs[3:])


async def test_a_forgotten_id_may_be_used_again(subject: Subject) -> None:
    await finish(subject.store)
    await purge_all(subject.store)
    subject.clock.at_ms = LATER
    assert await subject.store.forget_purged(LATER, 10) == 1
    await finish(subject.store, now=LATER)
    assert await there(subject.store, "order-1") == ["order-1"]


async def test_acts_go_with_their_saga_and_never_before_it(subject: Subject) -> None:
    store = subject.store
    await finish(store, "order-1")
    await start_running(store, "order-2")
    for act_id, saga_id in (("a-1", "order-1"), ("a-2", "order-2"), ("a-3", "order-1"), ("a-4", "order-1")):
        await subject.queue_act(cancel(act_id, saga_id))
    outcomes = [ActOutcome(act_id, "done", "") for act_id in ("a-1", "a-2")]
    await store.commit(Batch(NOW, acts=outcomes))
    await store.commit(Batch(NOW + 10, acts=[ActOutcome("a-3", "refused", "")]))
    assert await store.forget_acts(NOW + 1, 0, 10) == PurgeStep(0, None), "their sagas are still there"
    await purge_all(store)
    first = await store.forget_acts(NOW + 1, 0, 2)
    assert first.purged == 1
    assert first.next_key is not None
    assert await store.forget_acts(NOW + 1, first.next_key, 3) == PurgeStep(0, None), "a-3 was decided too late"
    assert await store.forget_acts(NOW + 11, 0, 10) == PurgeStep(1, None)
    waiting = await store.waiting_acts(10)
    assert [queued.act.act_id for queued in waiting if isinstance(queued, QueuedAct)] == ["a-4"], "nobody decided it"
    assert await subject.act_outcome("a-2") == outcomes[1], "its saga is still there"


async def test_who_asked_for_a_saga_is_forgotten_with_it(subject: Subject) -> None:
    asked = NotedAct("s-1", ref("order-1"), "start", "ann", "", "it began")
    await subject.store.commit(Batch(NOW, noted=[asked]))
    await finish(subject.store)
    await purge_all(subject.store)
    assert await subject.store.forget_acts(NOW + 1, 0, 10) == PurgeStep(1, None)
    assert await subject.act_outcome("s-1") is None


async def test_a_purge_is_an_act_that_says_what_it_did_in_the_end(subject: Subject) -> None:
    await finish(subject.store)
    await subject.queue_purge(QueuedPurge("p-1", EVERYTHING))
    if isinstance(subject, InMemory):
        return  # there it has no author
    going = await subject.act_outcome("p-1")
    assert going is not None
    assert (going.outcome, going.message[:15]) == ("done", "it is going on:")
    [queued] = await subject.store.waiting_purges()
    assert (await subject.store.purge(queued, 10)).purged == 1
    done = await subject.act_outcome("p-1")
    assert done is not None
    assert done.message == f"1 saga purged: COMPENSATED and COMPLETED before {rfc3339(LATER)}"


async def test_sagas_accepted_after_a_purge_are_as_any_others(store: Store) -> None:
    await finish(store, "order-1")
    await purge_all(store)
    await finish(store, "order-2", NOW + 1)
    await start_running(store, "order-3", NOW + 2)
    assert await there(store, "order-2", "order-3") == ["order-2", "order-3"]
    assert await purge_all(store) == 1


async def test_a_reopened_store_still_knows_what_it_purged_R29(durable: Durable) -> None:
    assert await durable.store.load_purged([ref("order-1")]) == {}
    await finish(durable.store)
    await purge_all(durable.store)
    assert set(await durable.store.load_purged([ref("order-1")])) == {ref("order-1")}
    await durable.reopen()
    assert set(await durable.store.load_purged([ref("order-1")])) == {ref("order-1")}
