"""What PostgreSQL cannot hold of a text is left out of it, whoever said it: a batch must not fail for it for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, Changed, Started
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.postgres import InPostgres
from tests.contracts.stores import HASH, NOW, cancel, new_saga, start, stored

SAID = "half a \ud83d, a \0, and the rest"
KEPT = "half a , a , and the rest"


@pytest.fixture
async def subject(postgres_url: PostgresUrl) -> AsyncIterator[InPostgres]:
    subject = await InPostgres(PostgresLocation(postgres_url)).open()
    yield subject
    await subject.store.close()


async def test_a_sagas_error(subject: InPostgres) -> None:
    saga = replace(new_saga("order-1"), error=SAID)
    await subject.store.commit(Batch(NOW, started=[Started(saga, HASH)]))
    subject.store.forget()
    assert (await stored(subject.store)).error == KEPT
    await start(subject.store, new_saga("order-2"))
    before = await stored(subject.store, "order-2")
    after = replace(before, error=SAID, version=before.version + 1, log_seq=before.log_seq + 1)
    await subject.store.commit(Batch(NOW, changed=[Changed(after, before.version)]))
    subject.store.forget()
    assert (await stored(subject.store, "order-2")).error == KEPT


async def test_what_became_of_an_act_and_why_something_is_paused(subject: InPostgres) -> None:
    await subject.queue_act(cancel("act-1"))
    pause = Pause(Hold("type:order", SAID, SAID, NOW), under_way=False)
    await subject.store.commit(Batch(NOW, acts=[ActOutcome("act-1", "refused", SAID)], pauses={"type:order": pause}))
    assert await subject.act_outcome("act-1") == ActOutcome("act-1", "refused", KEPT)
    assert await subject.store.pauses() == {"type:order": Pause(Hold("type:order", KEPT, KEPT, NOW), under_way=False)}


async def test_a_request_is_kept_number_for_number_and_escape_for_escape(subject: InPostgres) -> None:
    document = {"order_id": "order-1", "note": "a \0 b", "big": 2**63 - 1, "exact": 0.1}
    saga = replace(new_saga("order-1"), request=document)
    await subject.store.commit(Batch(NOW, started=[Started(saga, HASH)]))
    subject.store.forget()
    assert (await stored(subject.store)).request == document
