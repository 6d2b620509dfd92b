"""One suite for every store: what the engine builds on holds for each adapter alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.machine.saga import Parked
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState
from kafka_saga.orchestrator.store.port import (
    ActOutcome,
    Advance,
    Batch,
    Changed,
    Known,
    Loss,
    Meaning,
    Outage,
    Registered,
    Started,
    Store,
)
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import (
    HASH,
    NOW,
    Durable,
    InSharedMemory,
    Subject,
    cancel,
    decided,
    move,
    new_saga,
    open_subject,
    rejection,
    start,
    start_running,
    stored,
    success,
)

REPLIES = TopicPartition("inventory.replies", 2)
MESSAGE = Message(
    "inventory.commands", b"order-1", b'{"order_id":"order-1"}', (("ce_id", b"order/order-1/x/forward/1"),)
)


async def contents(subject: Subject) -> dict[str, Any]:
    """Everything that a failed commit must leave as it was."""
    refs = [SagaRef("order", f"order-{number}") for number in range(1, 10)]
    return {
        "sagas": await subject.store.load(refs),
        "logs": [await subject.log(ref) for ref in refs],
        "outbox": await subject.store.outbox(),
        "offsets": await subject.store.offsets(),
        "acts": await subject.store.waiting_acts(10),
    }


async def test_a_saga_keeps_the_trace_it_began_in_and_one_beside_it_has_none(store: Store) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 shop=web"
    traced, plain = replace(new_saga(), trace=trace), replace(new_saga(), ref=SagaRef("order", "order-2"))
    await store.commit(Batch(NOW, started=[Started(plain, HASH), Started(traced, HASH)]))
    found = await store.load([traced.ref, plain.ref])
    assert (found[traced.ref].saga.trace, found[plain.ref].saga.trace) == (trace, None)


async def test_a_new_saga_is_read_back_as_it_was_accepted(store: Store) -> None:
    await start(store, new_saga())
    known = (await store.load([SagaRef("order", "order-1")]))[SagaRef("order", "order-1")]
    assert known.saga == new_saga()
    assert known.request_hash == HASH


async def test_sagas_that_do_not_exist_are_left_out(store: Store) -> None:
    await start(store, new_saga("order-1"))
    refs = [SagaRef("order", "order-1"), SagaRef("order", "order-2"), SagaRef("other", "order-1")]
    assert set(await store.load(refs)) == {SagaRef("order", "order-1")}


async def test_more_sagas_than_one_query_takes_are_loaded_at_once(store: Store) -> None:
    sagas = [new_saga(f"order-{number}") for number in range(1_200)]
    await start(store, *sagas)
    assert len(await store.load([saga.ref for saga in sagas])) == 1_200


async def test_a_saga_is_read_back_as_each_transition_left_it(store: Store) -> None:
    await start_running(store)
    events = [success("reserve_inventory", reservation_id="r-1"), rejection("process_payment", "card declined")]
    for event in events:
        after = await move(store, event)
        assert await stored(store) == after
    assert after.state is SagaState.COMPENSATING


async def test_a_parked_saga_keeps_its_reason(store: Store) -> None:
    saga = await start_running(store)
    steps = tuple(step._replace(deadline_at=None) for step in saga.steps)
    parked = replace(
        saga,
        state=SagaState.PARKED,
        steps=steps,
        parked=Parked(ParkReason.COMPENSATION_FAILED, SagaState.COMPENSATING, "no such account"),
        version=saga.version + 1,
        log_seq=saga.log_seq + 1,
    )
    await store.commit(Batch(NOW, changed=[Changed(parked, saga.version)]))
    assert await stored(store) == parked


@pytest.mark.parametrize(
    ("conflict", "what"),
    [
        ("stale version", "sagas"),
        ("id taken", "ids"),
        ("offset moved", "offsets"),
        ("offset new to us only", "offsets"),
        ("act decided", "acts"),
    ],
)
async def test_a_batch_that_conflicts_says_what_does_and_writes_nothing_at_all_R23_R65(
    subject: Subject, conflict: str, what: str
) -> None:
    store = subject.store
    first = await start_running(store)
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(None, 5)}, messages=[MESSAGE]))
    await subject.queue_act(cancel("act-1"))
    before = await contents(subject)

    step = decided(first, success("reserve_inventory", reservation_id="r-1"))
    batch = Batch(
        NOW,
        started=[Started(new_saga("order-2"), HASH)],
        changed=[Changed(step.saga, first.version)],
        log=[(first.ref, entry) for entry in step.log],
        messages=[MESSAGE],
        published=[row.outbox_id for row in before["outbox"]],
        offsets={REPLIES: Advance(5, 6)},
        acts=[ActOutcome("act-1", "done", "the saga is COMPENSATING")],
    )
    if conflict == "stale version":
        batch.changed = [Changed(step.saga, first.version - 1)]
    elif conflict == "id taken":
        batch.started.append(Started(new_saga("order-1"), HASH))
    elif conflict == "act decided":
        await subject.queue_act(cancel("act-2"))
        await store.commit(Batch(NOW, acts=[ActOutcome("act-2", "done", "")]))
        batch.acts.append(ActOutcome("act-2", "refused", ""))
        before = await contents(subject)
    elif conflict == "offset moved":
        batch.offsets = {REPLIES: Advance(4, 6)}
    else:
        batch.offsets = {REPLIES: Advance(None, 6)}

    with pytest.raises(ConflictError) as caught:
        await store.commit(batch)
    assert caught.value.what == what
    assert await contents(subject) == before


async def test_what_is_known_of_an_outage_is_read_back_as_the_last_batch_that_said_so_left_it_R21(store: Store) -> None:
    assert await store.outage() == Outage()
    await store.commit(Batch(NOW, outage=Outage(NOW, is_on=True)))
    await store.commit(Batch(NOW + 1))
    assert await store.outage() == Outage(NOW, is_on=True)
    await store.commit(Batch(NOW + 2, outage=Outage(NOW + 2)))
    assert await store.outage() == Outage(NOW + 2)


async def test_after_a_conflict_the_same_work_read_again_is_committed(store: Store) -> None:
    first = await start_running(store)
    step = decided(first, success("reserve_inventory", reservation_id="r-1"))
    with pytest.raises(ConflictError):
        await store.commit(Batch(NOW, changed=[Changed(step.saga, 99)], started=[Started(new_saga("order-2"), HASH)]))
    await store.commit(
        Batch(NOW, changed=[Changed(step.saga, first.version)], started=[Started(new_saga("order-2"), HASH)])
    )
    assert await stored(store) == step.saga
    assert await stored(store, "order-2") == new_saga("order-2")


async def test_what_is_decided_of_locked_sagas_is_committed_R67(store: Store) -> None:
    first, ref = await start_running(store), SagaRef("order", "order-2")
    async with store.locked([first.ref, ref]):
        assert await store.load([first.ref, ref]) == {first.ref: Known(first, HASH)}
        step = decided(first, success("reserve_inventory", reservation_id="r-1"))
        await store.commit(Batch(NOW, changed=[Changed(step.saga, first.version)]))
    assert await stored(store) == step.saga
    async with store.locked([first.ref]):
        pass
    await start(store, new_saga("order-2"))
    assert await store.pending(1) == [ref]


async def test_sagas_wait_for_admission_in_the_order_of_their_acceptance(store: Store) -> None:
    for saga_id in ("order-3", "order-1", "order-2"):
        await start(store, new_saga(saga_id))
    await move(store, Admitted(), "order-1")
    assert [ref.saga_id for ref in await store.pending(10)] == ["order-3", "order-2"]
    assert [ref.saga_id for ref in await store.pending(1)] == ["order-3"]


async def test_timers_are_due_in_order_and_only_when_they_have_run_out(store: Store) -> None:
    assert await store.next_wake_at() is None
    for delay, saga_id in ((2_000, "order-1"), (0, "order-2"), (1_000, "order-3")):
        await start_running(store, saga_id, NOW + delay)
    assert await store.next_wake_at() == NOW + 5_000
    assert await store.due(NOW + 4_999, 10) == []
    assert [ref.saga_id for ref in await store.due(NOW + 6_000, 10)] == ["order-2", "order-3"]
    assert [ref.saga_id for ref in await store.due(NOW + 9_000, 1)] == ["order-2"]


async def test_a_finished_saga_has_no_timer(store: Store) -> None:
    await start_running(store)
    await move(store, rejection("reserve_inventory", "sold out"))
    assert await store.next_wake_at() is None
    assert await store.due(NOW + 10**9, 10) == []


async def test_outbox_rows_keep_messages_as_they_are_whatever_their_bytes(store: Store) -> None:
    strange = bytes(range(256))
    messages = [
        MESSAGE,
        Message("dlq.order.requests", strange, strange, (("x", strange), ("empty", b""), ("text", "ü".encode()))),
        Message("dlq.order.requests", None, None),
        Message("dlq.order.requests", b"", b"", (("base64", b'{"base64": "aGk="}'),)),
    ]
    outbox_id = await store.commit(Batch(NOW, messages=messages))
    second = await store.commit(Batch(NOW + 1, messages=[MESSAGE]))
    rows = await store.outbox()
    assert [(row.outbox_id, row.created_at) for row in rows] == [(outbox_id, NOW), (second, NOW + 1)]
    assert rows[0].messages == messages


async def test_published_outbox_rows_are_gone_and_their_ids_are_not_given_again(store: Store) -> None:
    first = await store.commit(Batch(NOW, messages=[MESSAGE]))
    assert first is not None
    assert await store.commit(Batch(NOW, published=[first])) is None
    assert await store.outbox() == []
    assert await store.commit(Batch(NOW, messages=[MESSAGE])) != first


async def test_a_row_of_which_a_command_will_not_be_sent_keeps_its_other_messages_R56(store: Store) -> None:
    other = MESSAGE._replace(key=b"order-2")
    first = await store.commit(Batch(NOW, messages=[MESSAGE, other]))
    assert first is not None
    second = await store.commit(Batch(NOW + 1, messages=[MESSAGE], rewritten={first: [other]}))
    rows = await store.outbox()
    assert [(row.outbox_id, row.created_at, row.messages) for row in rows] == [
        (first, NOW, [other]),
        (second, NOW + 1, [MESSAGE]),
    ]


async def test_offsets_move_from_where_they_were_read(store: Store) -> None:
    other = TopicPartition("order.requests", 0)
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(None, 3), other: Advance(None, 1)}))
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(3, 9)}))
    assert await store.offsets() == {REPLIES: 9, other: 1}


async def test_a_position_that_was_given_up_is_remembered_the_newest_of_each_partition_R23(store: Store) -> None:
    other = TopicPartition("order.requests", 0)
    first, newest = Reset(REPLIES, 5, 9, "deleted"), Reset(REPLIES, 40, 0, "beyond_end")
    await store.commit(Batch(NOW, offsets={REPLIES: Advance(None, 9)}, resets=[first, Reset(other, 1, 2, "deleted")]))
    await store.commit(Batch(NOW + 1, offsets={REPLIES: Advance(9, 0)}, resets=[newest]))
    losses = {loss.reset.partition: loss for loss in await store.losses()}
    assert losses == {REPLIES: Loss(NOW + 1, newest), other: Loss(NOW, Reset(other, 1, 2, "deleted"))}


async def test_the_fingerprint_on_record_is_the_first_one_R30(store: Store) -> None:
    first, second = Registered("order", 1, "first", "{1}", "e1"), Registered("order", 2, "second", "{2}", "e2")
    assert await store.register([first]) == {("order", 1): Meaning("first", "{1}")}
    on_record = await store.register([first._replace(fingerprint="changed", description="{9}"), second])
    assert on_record == {("order", 1): Meaning("first", "{1}"), ("order", 2): Meaning("second", "{2}")}


async def test_what_was_stored_before_descriptions_were_gets_one_where_it_means_the_same_R30(
    durable: Durable,
) -> None:
    for version in (1, 2, 3):
        await durable.note_definition(version, f"old-{version}")

    on_record = await durable.store.register(
        [
            Registered("order", 1, "old-1", "{1}", "another"),
            Registered("order", 2, "new-2", "{2}", "old-2"),
            Registered("order", 3, "new-3", "{3}", "another"),
        ]
    )

    assert on_record == {
        ("order", 1): Meaning("old-1", "{1}"),
        ("order", 2): Meaning("new-2", "{2}"),
        ("order", 3): Meaning("old-3", None),
    }


async def test_the_versions_of_unfinished_sagas_are_known_R30(store: Store) -> None:
    await start(store, new_saga("order-1"), replace(new_saga("order-2"), definition_version=7))
    await start_running(store, "order-3")
    await move(store, rejection("reserve_inventory", "sold out"), "order-3")
    assert await store.unfinished_versions() == {("order", 1), ("order", 7)}
    assert [ref.saga_id for ref in await store.unfinished_of("order", 1, 10)] == ["order-1"]
    assert await store.unfinished_of("order", 3, 10) == []


async def test_unfinished_sagas_are_counted_by_state(store: Store) -> None:
    await start(store, new_saga("order-1"), new_saga("order-2"))
    await start_running(store, "order-3")
    await start_running(store, "order-4")
    await move(store, rejection("reserve_inventory", "sold out"), "order-4")
    assert await store.count_states() == {SagaState.PENDING: 2, SagaState.RUNNING: 1}


async def test_the_clock_never_goes_backwards_R27(subject: Subject) -> None:
    assert subject.store.now() == NOW
    subject.clock.at_ms = NOW - 3_600_000
    assert subject.store.now() == NOW
    subject.clock.at_ms = NOW + 1
    if not isinstance(subject, InSharedMemory):  # that hears of its server's clock at each beat
        assert subject.store.now() == NOW + 1


async def test_the_log_is_read_back_in_order_with_its_events_R28(subject: Subject) -> None:
    await start_running(subject.store)
    before = await stored(subject.store)
    decision = decided(before, success("reserve_inventory", reservation_id="r-1"))
    log = [(before.ref, entry) for entry in decision.log]
    await subject.store.commit(Batch(NOW, changed=[Changed(decision.saga, before.version)], log=log))
    found = await subject.log(before.ref)
    assert [entry.seq for entry in found] == list(range(1, decision.saga.log_seq + 1))
    assert found[-len(log) :] == [entry for _, entry in log]


async def test_reopening_a_store_finds_everything(durable: Durable) -> None:
    store = durable.store
    await start_running(store, now=NOW)
    await store.register([Registered("order", 1, "first", "{1}", "earlier")])
    await store.commit(Batch(NOW + 5, offsets={REPLIES: Advance(None, 3)}, messages=[MESSAGE]))
    await durable.queue_act(cancel("act-1"))
    before, store_id = await contents(durable), store.store_id

    await durable.reopen()
    assert await contents(durable) == before
    assert durable.store.store_id == store_id
    assert await durable.store.register([Registered("order", 1, "other", "{9}", "earlier")]) == {
        ("order", 1): Meaning("first", "{1}")
    }
    await start(durable.store, new_saga("order-2"))
    assert await durable.store.pending(10) == [SagaRef("order", "order-2")]


async def test_a_reopened_store_keeps_its_clock_R27(durable: Durable) -> None:
    await durable.store.commit(Batch(NOW + 60_000, offsets={REPLIES: Advance(None, 1)}))
    durable.clock.at_ms = NOW
    await durable.reopen()
    assert durable.store.now() == NOW + 60_000


async def test_two_stores_have_two_names(tmp_path: Path) -> None:
    subjects = [await open_subject("sqlite inline", tmp_path / name) for name in ("one", "two")]
    assert len({subject.store.store_id for subject in subjects}) == 2
    for subject in subjects:
        await subject.store.close()
