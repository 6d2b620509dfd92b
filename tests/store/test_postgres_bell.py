"""Acts are asked for when the server says that one was queued, and seldom else (R74)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, QueuedAct
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.postgres import InPostgres
from tests.contracts.stores import NOW, cancel

CLOCK = SystemClock()


@pytest.fixture
async def subject(postgres_url: PostgresUrl) -> AsyncIterator[InPostgres]:
    """A replica that beats, and so listens; the clock of its store stands still."""
    subject = await InPostgres(PostgresLocation(postgres_url)).open()
    await subject.store.members.beat(1_000)
    assert await subject.store.waiting_acts(10) == []
    yield subject
    await subject.store.close()


@pytest.fixture
def asked(subject: InPostgres, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server was asked for."""
    ask, names = subject.store._ask, []

    async def noted(name: str, *params: object) -> list[tuple[object, ...]]:
        names.append(name)
        return await ask(name, *params)

    monkeypatch.setattr(subject.store, "_ask", noted)
    return names


async def test_nothing_is_asked_while_nothing_was_queued(subject: InPostgres, asked: list[str]) -> None:
    assert await subject.store.waiting_acts(10) == []
    assert asked == []
    subject.clock.at_ms += 1_000
    assert await subject.store.waiting_acts(10) == []
    assert asked == ["waiting_acts"], "a notification may have been lost"


async def test_an_act_that_was_queued_is_taken_at_once(subject: InPostgres) -> None:
    await subject.queue_act(cancel("act-1"))
    found: list[object] = []
    while not found:
        found += await subject.store.waiting_acts(10)
        await CLOCK.sleep(1)
    assert subject.clock.at_ms == NOW


async def test_more_than_one_answer_holds_is_asked_for_again(subject: InPostgres) -> None:
    for number in range(3):
        await subject.queue_act(cancel(f"act-{number}"))
    subject.store._bell.ring()
    first = await subject.store.waiting_acts(2)
    outcomes = [ActOutcome(queued.act.act_id, "done", "") for queued in first if isinstance(queued, QueuedAct)]
    await subject.store.commit(Batch(NOW, acts=outcomes))
    assert len(await subject.store.waiting_acts(2)) == 1


async def test_after_a_conflict_they_are_asked_for_again(subject: InPostgres, asked: list[str]) -> None:
    with pytest.raises(ConflictError):
        await subject.store.commit(Batch(NOW, acts=[ActOutcome("no-such-act", "done", "")]))
    await subject.store.waiting_acts(10)
    assert asked == ["waiting_acts"]


async def test_who_does_not_hear_the_server_asks_every_time(subject: InPostgres, asked: list[str]) -> None:
    subject.store.members._beats.drop()
    await subject.store.waiting_acts(10)
    await subject.store.waiting_acts(10)
    assert asked == ["waiting_acts"] * 2
