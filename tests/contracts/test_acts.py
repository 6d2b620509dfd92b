"""Acts as every store keeps them: in order, each once, with one outcome (R25)."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, NotedAct, Started
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import HASH, NOW, Subject, cancel, new_saga, stored


async def test_acts_are_queued_in_order_and_the_same_id_is_one_act_R25(subject: Subject) -> None:
    await subject.queue_act(cancel("act-2"))
    await subject.queue_act(cancel("act-1", expected_state="RUNNING", expected_version=4, arguments={"step": "x"}))
    await subject.queue_act(cancel("act-2", "order-9"))
    assert await subject.store.waiting_acts(10) == [
        cancel("act-2"),
        cancel("act-1", expected_state="RUNNING", expected_version=4, arguments={"step": "x"}),
    ]
    assert len(await subject.store.waiting_acts(1)) == 1


async def test_who_asked_for_a_saga_is_kept_with_it_once_and_waits_for_nobody(subject: Subject) -> None:
    def asked(act_id: str, actor: str, saga_id: str = "order-1") -> NotedAct:
        return NotedAct(act_id, SagaRef("order", saga_id), "start", actor, "", "it began", {"request": "o/0/1"})

    store = subject.store
    began = [Started(new_saga("order-1"), HASH), Started(new_saga("order-2"), HASH)]
    await store.commit(Batch(NOW, started=began, noted=[asked("s-1", "ann"), asked("s-2", "a\0nn \u2603", "order-2")]))
    assert await subject.act_outcome("s-1") == ActOutcome("s-1", "done", "it began")
    assert await store.waiting_acts(10) == []
    with pytest.raises(ConflictError):
        await store.commit(Batch(NOW, started=began[:1], noted=[asked("s-3", "bob")]))
    assert await subject.act_outcome("s-3") is None, "nothing of a batch that is refused is kept"
    await store.commit(Batch(NOW, started=[Started(new_saga("order-3"), HASH)], noted=[asked("s-1", "bob", "order-3")]))
    assert await stored(store, "order-3"), "an act of that id is no obstacle"


async def test_an_act_has_one_outcome_and_does_not_wait_any_more_R25_R65(subject: Subject) -> None:
    await subject.queue_act(cancel("act-1"))
    outcome = ActOutcome("act-1", "done", "the saga is COMPENSATING")
    await subject.store.commit(Batch(NOW, acts=[outcome]))
    assert await subject.store.waiting_acts(10) == []
    with pytest.raises(ConflictError) as caught:
        await subject.store.commit(Batch(NOW, acts=[ActOutcome("act-1", "refused", "too late")]))
    assert caught.value.what == "acts"
    assert await subject.act_outcome("act-1") == outcome
    assert cancel("act-1").act.verb is EventKind.CANCEL
