"""What is kept of lives that have ended, and what is counted without them (R72, R75)."""

from __future__ import annotations

import asyncpg
import pytest

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.port import Batch, Outage
from kafka_saga.orchestrator.store.postgres import members
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.postgres import InPostgres
from tests.contracts.stores import NOW, new_saga, start, start_running
from tests.contracts.test_store import MESSAGE


async def lives(url: PostgresUrl) -> list[int]:
    connection = await asyncpg.connect(url.secret_text)
    found = await connection.fetch("SELECT replica FROM saga.replicas JOIN saga.beats USING (replica) ORDER BY replica")
    await connection.close()
    return [replica for (replica,) in found]


async def test_a_process_that_dies_and_starts_for_days_leaves_a_bounded_trail(
    postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "ENDED_MAX", 2)
    subject = await InPostgres(PostgresLocation(postgres_url)).open()
    await start_running(subject.store)
    await start(subject.store, new_saga("order-2"))
    await subject.store.commit(Batch(NOW, in_flight=5, pending=-3, outage=Outage(NOW + 7)))
    for _ in range(5):
        await subject.reopen()
    assert await lives(postgres_url) == [4, 5, 6]
    assert subject.store.members.sums[:2] == (1, 1), "what there is, whatever the ended ones had counted"
    assert (await subject.store.outage()).ended_at == NOW + 7
    await subject.store.close()


async def test_a_life_that_has_left_something_unpublished_is_kept(
    postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "ENDED_MAX", 1)
    subject = await InPostgres(PostgresLocation(postgres_url)).open()
    row = await subject.store.commit(Batch(NOW, messages=[MESSAGE]))
    assert row is not None
    for _ in range(3):
        await subject.reopen()
    assert await lives(postgres_url) == [1, 3, 4]
    await subject.store.commit(Batch(NOW, published=[row]))
    await subject.reopen()
    assert await lives(postgres_url) == [4, 5]
    await subject.store.close()
