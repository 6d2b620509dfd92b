"""What a replica remembers after somebody else was first: all but what that was about (R66, R67)."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.port import Advance, Batch, Changed
from kafka_saga.orchestrator.store.postgres.store import PostgresStore, open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import NOW, decided, move, new_saga, start, stored
from tests.contracts.test_store import REPLIES

FIRST, SECOND = SagaRef("order", "order-1"), SagaRef("order", "order-2")


class Asked:
    """The ids that a replica had to ask the server for."""

    def __init__(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids: list[str] = []
        ask = store._ask

        async def noted(name: str, *params: Any) -> Any:
            if name == "load":
                self.ids += params[1]
            return await ask(name, *params)

        monkeypatch.setattr(store, "_ask", noted)


async def replica(url: PostgresUrl, name: str) -> PostgresStore:
    store = await open_store(PostgresLocation(url), SystemClock())
    await store.members.join(Joining(name, "1.0", "[]", 1_000, 1))
    store.members.own(Lanes(1, frozenset({0})))
    return store


@pytest.mark.parametrize("locks", [False, True])
async def test_only_the_saga_that_somebody_else_changed_is_read_again(
    postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    ours, theirs = await replica(postgres_url, "a"), await replica(postgres_url, "b")
    await start(ours, new_saga("order-1"), new_saga("order-2"))
    read = [await stored(ours, "order-1"), await stored(ours, "order-2")]
    await move(theirs, Admitted(), "order-2")
    asked = Asked(ours, monkeypatch)

    changes = [Changed(decided(saga, Admitted()).saga, saga.version) for saga in read]
    with pytest.raises(ConflictError):
        await ours.commit(Batch(NOW, changed=changes))
    if locks:
        async with ours.locked([FIRST, SECOND]):
            found = await ours.load([FIRST, SECOND])
        assert asked.ids == []
    else:
        found = await ours.load([FIRST, SECOND])
        assert asked.ids == ["order-2"]
    assert [found[ref].saga.version for ref in (FIRST, SECOND)] == [read[0].version, read[1].version + 1]
    await ours.close()
    await theirs.close()


async def test_a_conflict_of_offsets_forgets_no_saga(
    postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = await replica(postgres_url, "a")
    await start(ours, new_saga())
    asked = Asked(ours, monkeypatch)
    with pytest.raises(ConflictError):
        await ours.commit(Batch(NOW, offsets={REPLIES: Advance(5, 6)}))
    await stored(ours)
    assert asked.ids == []
    await ours.close()
