"""The log folded from zero gives the row (R28): what is stored of a saga can be rebuilt and audited from its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.orchestrator.machine.events import Act, Admitted, Event, Replied, TimerFired
from kafka_saga.orchestrator.machine.folding import fold
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.ids import Phase
from tests.contracts.stores import NOW, SetClock, move, new_saga, rejection, start, success

RESERVED = success("reserve_inventory", reservation_id="r-1")
CHARGED = success("process_payment", charge_id="ch-1")
CREATED = success("create_order", order_number="A-17")


def undone(step: str, effect: Effect = Effect.DONE) -> Replied:
    return Replied(step, Phase.COMPENSATE, 1, Outcome.SUCCESS, effect=effect)


LIVES: dict[str, list[Event]] = {
    "completed": [Admitted(), RESERVED, CHARGED, CREATED],
    "the seed's example": [
        Admitted(), RESERVED, CHARGED, rejection("create_order", "Database connection failed"),
        undone("process_payment"), undone("reserve_inventory"),
    ],
    "timeouts, then nothing to undo": [
        Admitted(), *[TimerFired(published_at=0)] * 7, undone("reserve_inventory", Effect.NONE),
    ],
    "parked": [
        Admitted(), RESERVED, rejection("process_payment", "card declined"),
        Replied("reserve_inventory", Phase.COMPENSATE, 1, Outcome.FAILURE, reason=Reason.REJECTED,
                body={"error": "no items are held"}),
    ],
    "parked, retried and undone": [
        Admitted(), RESERVED, rejection("process_payment", "card declined"),
        Replied("reserve_inventory", Phase.COMPENSATE, 1, Outcome.FAILURE, reason=Reason.REJECTED),
        Act("act-1", EventKind.RETRY_NOW, "ops", "mended by hand"),
        Replied("reserve_inventory", Phase.COMPENSATE, 2, Outcome.SUCCESS),
    ],
    "cancelled, and a success that came too late": [
        Admitted(), Act("act-1", EventKind.CANCEL, "ops", "the customer called"), RESERVED, undone("reserve_inventory"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("life", LIVES)
async def test_the_log_of_a_stored_saga_folds_to_its_row_R28(life: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path, SetClock())
    await start(store, new_saga())
    now = NOW
    for event in LIVES[life]:
        now += 60_000  # every timer has run out by then
        await move(store, event, now=now)
    await store.close()

    reader = await StoreReader.open(path)
    row = await reader.find("order-1")
    log = await reader.log(row)
    await reader.close()
    assert fold(order_saga, new_saga(), log) == row
    assert [entry.seq for entry in log] == list(range(1, row.log_seq + 1))
