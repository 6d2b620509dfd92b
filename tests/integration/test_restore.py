"""A backup made in the middle of the work is put back: what happened since comes again from Kafka, nothing twice."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from kafka_saga.orchestrator.operations.backing_up import Source, sources, targets
from kafka_saga.runtime.backup import back_up
from tests.integration.processes import PATIENCE_MS, until
from tests.integration.world import SERVICES, World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = int(os.environ.get("SAGA_TEST_ORDERS", "3000")) // 2
REFUSALS = {
    "payment": {"SAGA_FAULT_REJECT": "chargePayment:every=7:text=card declined"},
    "orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"},
}
ENDS = {"COMPLETED", "COMPENSATED"}


@pytest.mark.parametrize("every", [False, True], ids=["the orchestrator's", "every database"])
async def test_a_restored_backup_ends_every_saga_and_changes_no_sum_R23_I3_I9(
    world: World, tmp_path: Path, every: bool
) -> None:
    """With every database restored, services do their part anew; a refusal that counts calls would not come again."""
    await world.start(faults=None if every else REFUSALS)
    first, second = [[f"order-{half}-{number}" for number in range(ORDERS)] for half in (1, 2)]
    await world.order(*first)
    await world.ended(ORDERS // 4)
    services = [Source(name, world.data_dir / f"{name}.db") for name in SERVICES]
    chosen = sources(world.data_dir / "orchestrator.db", services, service=None, every=every)
    copies = targets(chosen, tmp_path, every=every)
    await asyncio.to_thread(_copy, copies)

    await world.order(*second)
    await world.ended(ORDERS + ORDERS // 2)
    states_before, store_id = world.books.states(), _store_id(world)
    for source in chosen:
        world.processes[source.owner].kill()
    for source, copy in copies:
        _put_back(copy, source.path)
    states = world.books.states()
    assert set(states.values()) - ENDS, "the backup was made in the middle of the work"
    assert len(states) < len(states_before)
    assert _store_id(world) == store_id
    for source in chosen:
        world.processes[source.owner].start()
    await world.ready(*[source.owner for source in chosen])

    everything = {*first, *second}
    await until("every saga has ended", lambda: _ended(world, everything), 2 * PATIENCE_MS)
    outcomes = await world.ended(2 * ORDERS)
    assert {saga_id: outcome["state"] for saga_id, outcome in outcomes.items()} == world.books.states()
    world.books.check(outcomes, restored=True)


def _copy(copies: list[tuple[Source, Path]]) -> None:
    for source, copy in copies:
        back_up(source.path, copy, on_progress=lambda _done, _total: None)


def _put_back(copy: Path, path: Path) -> None:
    """What the printed commands do."""
    for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        leftover.unlink(missing_ok=True)
    shutil.copy(copy, path)


def _store_id(world: World) -> object:
    return world.books.ask("orchestrator", "SELECT value FROM meta WHERE key = 'store_id'")


def _ended(world: World, everything: set[str]) -> bool:
    states = world.books.states()
    return set(states) == everything and set(states.values()) <= ENDS
