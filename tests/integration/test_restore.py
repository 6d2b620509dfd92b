"""A backup made in the middle of the work is put back: a new life begins; nothing of the old is applied (R59)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from kafka_saga.schemas.codec import decode_trusted
from tests.integration.processes import PATIENCE_MS, run_saga, until
from tests.integration.world import SERVICES, World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = int(os.environ.get("SAGA_TEST_ORDERS", "3000")) // 2
WAVE = 50
ENDS = {"COMPLETED", "COMPENSATED"}
REFUSALS = {"orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"}}
CONTENDED = [{"sku": "lamp", "quantity": 3}]
"""There are fewer lamps than are ordered, so who gets one depends on who comes first: another the second time."""


@pytest.mark.parametrize("choice", ["--all", "--orchestrator"])
async def test_no_compensated_saga_keeps_an_effect_after_a_restore_R59_I3_I9(
    world: World, tmp_path: Path, choice: str
) -> None:
    await world.start(faults=REFUSALS)
    _limit_stock(world)
    everything: set[str] = set()
    folder = tmp_path / "copies"
    await _order_more(world, everything)
    await world.ended(1)  # the orchestrator's copy is the first, and must not be of an empty store
    await _order_more(world, everything)
    backing_up = asyncio.create_task(asyncio.to_thread(run_saga, world.environment, "backup", str(folder), "--all"))
    while not backing_up.done() or len(everything) < ORDERS:  # it is made while orders come and go
        await _order_more(world, everything)
    backup = backing_up.result()
    assert backup.returncode == 0, backup.stderr
    assert "saga restore" in backup.stderr

    for _ in range(ORDERS // WAVE):
        await _order_more(world, everything)
    await world.ended(len(everything) * 3 // 4)
    reasons = {saga_id: outcome["error"] for saga_id, outcome in world.outcomes.items()}
    for process in world.processes.values() if choice == "--all" else [world.orchestrator]:
        process.kill()
    dry = await asyncio.to_thread(run_saga, world.environment, "restore", str(folder), choice, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    figures = decode_trusted(dry.stdout)
    assert figures["requests since the backup, read again"] > 0
    restored = await asyncio.to_thread(run_saga, world.environment, "restore", str(folder), choice, "--yes", "--json")
    assert restored.returncode == 0, restored.stderr
    assert set(world.books.states().values()) - ENDS, "the backup was made in the middle of the work"
    world.outcomes.clear()
    for name in ("orchestrator", *SERVICES) if choice == "--all" else ("orchestrator",):
        world.processes[name].start()
    await world.ready()

    await until("every saga has ended", lambda: _ended(world, everything), 2 * PATIENCE_MS)
    outcomes = await newest_ends(world, everything)
    world.books.check(outcomes)
    if choice == "--orchestrator":
        found = {saga_id: outcome["error"] for saga_id, outcome in outcomes.items() if saga_id in reasons}
        assert found == reasons, "why sagas failed is known as before"


async def test_a_service_that_is_restored_alone_keeps_no_effect_for_a_saga_that_was_undone_without_it_R59(
    world: World, tmp_path: Path
) -> None:
    """What it refused then it would do now: there are no faults any more, as a card has money again."""
    await world.start(faults={"payment": {"SAGA_FAULT_REJECT": "chargePayment:every=3:text=card declined"}})
    await world.order(*(f"order-{number}" for number in range(30)))
    await world.ended(10)
    backup = await asyncio.to_thread(run_saga, world.environment, "backup", str(tmp_path / "copies"), "--all")
    assert backup.returncode == 0, backup.stderr
    await world.order(*(f"order-{number}" for number in range(30, 90)))
    outcomes = await world.ended(90)
    undone = {saga_id for saga_id, outcome in outcomes.items() if outcome["state"] == "COMPENSATED"}
    assert len(undone) > 20
    payment, database = world.processes["payment"], world.data_dir / "payment.db"
    payment.kill()
    for file in world.data_dir.glob("payment.db*"):
        file.unlink()
    restore = ("restore", str(tmp_path / "copies"), "--service", "payment", "--yes")
    restored = await asyncio.to_thread(run_saga, world.environment, *restore)
    assert restored.returncode == 0, restored.stderr
    payment.environment.pop("SAGA_FAULT_REJECT")
    payment.start()

    def charged() -> set[str]:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return {
                saga_id for (saga_id,) in connection.execute("SELECT saga_id FROM charges WHERE status = 'charged'")
            }

    await until("what it had done is done again", lambda: charged() >= set(outcomes) - undone)
    await world.order(
        *(f"order-{number}" for number in range(90, 120))
    )  # behind all that are handled again, everywhere
    await world.ended(120)
    assert charged() == set(world.outcomes) - undone


def _limit_stock(world: World) -> None:
    """Half of what will be ordered, or less."""
    with closing(sqlite3.connect(world.data_dir / "inventory.db", timeout=30)) as connection:
        connection.execute("UPDATE stock SET initial = ?1, available = ?1 WHERE sku = 'lamp'", (3 * ORDERS // 2,))
        connection.commit()


async def _order_more(world: World, everything: set[str]) -> None:
    wave = [f"order-{len(everything) + number}" for number in range(WAVE)]
    everything.update(wave)
    await world.order(*wave, items=CONTENDED)
    await world.ended(len(everything) // 2)


async def newest_ends(world: World, everything: set[str]) -> dict[str, dict[str, object]]:
    """Of each saga what was told under its highest sequence; and no sequence ever told of two things (R26)."""
    told: dict[str, dict[int, bytes]] = defaultdict(dict)
    complete = asyncio.Event()
    topic = world.topics.events("order")
    while not complete.is_set():
        for record in await world.read_all(topic):
            headers = dict(record.headers)
            number, value = int(headers["ce_sequence"] or b"0"), record.value or b""
            known = told[(record.key or b"").decode()]
            assert known.setdefault(number, value) == value, f"two events under {number} of {record.key!r}"
        newest = {saga_id: decode_trusted(known[max(known)]) for saga_id, known in told.items()}
        if set(newest) == everything and {body["state"] for body in newest.values()} <= ENDS:
            complete.set()
    return newest


def _ended(world: World, everything: set[str]) -> bool:
    states = world.books.states()
    return set(states) == everything and set(states.values()) <= ENDS
