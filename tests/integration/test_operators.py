"""Operators at work on a running system: what their commands say is what happened (R14, R18, R19, R25)."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_saga.schemas.codec import decode_trusted
from tests.integration.processes import run_saga, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

PATIENT = ("--app", "tests.integration.patient_sagas")
LOCKED = {"SAGA_FAULT_REJECT": "releaseItems:text=the shelf is locked"}
BROKE = {"customer_id": "broke"}


def saga(world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what `-o json` printed."""
    result = run_saga(world.environment, *arguments, "-o", "json")
    assert result.stdout, result.stderr
    return result.returncode, decode_trusted(result.stdout)


def rows(world: World, *arguments: str) -> list[dict[str, Any]]:
    result = run_saga(world.environment, *arguments, "-o", "jsonl")
    assert result.returncode == 0, result.stderr
    return [decode_trusted(line) for line in result.stdout.splitlines()]


async def reach(world: World, state: str, *saga_ids: str) -> None:
    def there() -> bool:
        states = world.books.states()
        return all(states.get(saga_id) == state for saga_id in saga_ids)

    await until(f"{saga_ids} are {state}", there)


async def reach_step(world: World, step: str, status: str, saga_id: str = "order-1") -> None:
    def there() -> bool:
        return any((row["name"], row["status"]) == (step, status) for row in world.log(saga_id, "--all"))

    await until(f"{step} is {status}", there)


async def repair(world: World, service: str) -> None:
    """The service is stopped, mended and started again."""
    process = world.processes[service]
    assert process.terminate() == 0
    for name in [name for name in process.environment if name.startswith("SAGA_FAULT_")]:
        del process.environment[name]
    process.start()
    await world.ready(service)


async def test_a_parked_compensation_is_retried_until_its_service_is_repaired_R14_R18(world: World) -> None:
    await world.start(faults={"inventory": LOCKED})
    await world.order("order-1", **BROKE)
    await reach(world, "PARKED", "order-1")
    explained = run_saga(world.environment, "explain", "order-1").stdout
    assert "undoing 'reserve_inventory' did not work: the shelf is locked" in explained
    assert "saga retry order-1" in explained

    code, failed = saga(world, "retry", "order-1", "--reason", "hoping")
    assert (code, failed["result"], failed["state"]) == (1, "failed", "PARKED")
    assert failed["message"] == "'reserve_inventory' failed again: the shelf is locked"

    await repair(world, "inventory")
    code, done = saga(world, "retry", "order-1", "--reason", "unlocked", "--act-id", "ticket-17")
    assert (code, done["result"], done["state"]) == (0, "succeeded", "COMPENSATED")
    assert done["message"] == "'reserve_inventory' is undone"

    assert saga(world, "retry", "order-1", "--act-id", "ticket-17") == (code, done), "the same act id is one act"
    code, refused = saga(world, "retry", "order-1")
    assert (code, refused["message"]) == (4, "the saga has ended: nothing can be changed any more")
    code, refused = saga(world, "resolve", "order-1", "--as", "completed", "--reason", "so", "--if-state", "parked")
    assert (code, "was PARKED when you looked and is COMPENSATED now" in refused["message"]) == (4, True)
    code, unchanged = saga(world, "cancel", "order-1")
    assert (code, unchanged["result"]) == (0, "unchanged")

    acts = rows(world, "acts", "order-1")
    assert [(act["verb"], act["reason"], act["outcome"]) for act in reversed(acts)] == [
        ("retry", "hoping", "done"),
        ("retry", "unlocked", "done"),
        ("retry", "no reason given", "refused"),
        ("resolve", "so", "refused"),
        ("cancel", "no reason given", "unchanged"),
    ]
    epochs = [row["detail"].get("epoch") for row in world.log("order-1", "--all") if row["status"] == "COMPENSATED"]
    assert epochs == [3], "two retries, two epochs"
    world.books.check(await world.ended(1))


async def test_a_running_saga_is_cancelled_and_undone_but_not_one_that_has_ended_R19(world: World) -> None:
    await world.start(*PATIENT, faults={"payment": {"SAGA_FAULT_LATE": "chargePayment:saga=order-1:ms=30000"}})
    await world.order("order-1", "order-2")
    await reach_step(world, "process_payment", "IN_PROGRESS")
    await reach(world, "COMPLETED", "order-2")

    code, done = saga(world, "cancel", "order-1", "--reason", "the customer called", "--actor", "ann")
    assert (code, done["result"], done["state"]) == (0, "succeeded", "COMPENSATED")
    assert world.show("order-1")["error"] == "cancelled by ann: the customer called"
    code, refused = saga(world, "cancel", "order-2")
    assert (code, refused["result"]) == (4, "refused")
    assert "has completed" in refused["message"]
    world.books.check(await world.ended(2))


async def test_a_step_done_by_hand_is_skipped_and_a_saga_settled_by_hand_is_resolved_R25(world: World) -> None:
    await world.start(*PATIENT, services=("inventory", "orders"))
    await world.order("order-1", "order-2")
    await reach_step(world, "process_payment", "IN_PROGRESS")
    await reach_step(world, "process_payment", "IN_PROGRESS", "order-2")

    code, refused = saga(world, "skip", "order-1", "--step", "process_payment")
    assert (code, "give it as data" in refused["message"]) == (4, True)
    code, refused = saga(world, "resolve", "order-2", "--as", "completed", "--reason", "by phone")
    assert (code, "only a parked saga" in refused["message"]) == (4, True)
    code, done = saga(world, "skip", "order-1", "--step", "process_payment", "--data", '{"charge_id": "by-hand"}')
    assert (code, done["result"]) == (0, "succeeded")
    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["stepsExecuted"]) == ("COMPLETED", [1, 2, 3])
    assert record["data"]["replies"]["process_payment"] == {"charge_id": "by-hand"}

    # Nobody refunds either, so somebody does it by hand.
    assert run_saga(world.environment, "cancel", "order-2", "--no-wait").returncode == 0
    await reach(world, "COMPENSATING", "order-2")
    code, done = saga(world, "skip", "order-2", "--step", "process_payment", "--reason", "refunded at the counter")
    assert code == 0
    await reach(world, "COMPENSATED", "order-2")
    assert world.show("order-2")["stepsCompensated"] == [2, 1]


async def test_many_parked_sagas_are_retried_at_once_and_each_is_counted_R25(world: World) -> None:
    ids = [f"order-{number:02d}" for number in range(1, 26)]
    await world.start(faults={"inventory": LOCKED})
    await world.order(*ids, **BROKE)
    await reach(world, "PARKED", *ids)
    chosen = rows(world, "retry", "--cause", "compensation_failed", "--step", "reserve_inventory", "--dry-run")
    assert [row["sagaId"] for row in chosen] == ids
    code, settled = saga(
        world, "resolve", "order-25", "--as", "compensated", "--reason", "put back by hand", "--actor", "ann"
    )
    assert (code, settled["state"]) == (0, "COMPENSATED")

    process = world.processes["inventory"]
    assert process.terminate() == 0
    process.start(SAGA_FAULT_REJECT="releaseItems:saga=order-07:text=still locked")
    await world.ready("inventory")
    listed = "\n".join(ids)
    (world.data_dir / "ids.txt").write_text(f"{listed}\norder-99\n")
    frozen = ("--ids", str(world.data_dir / "ids.txt"), "--bulk-id", "b1", "--yes")
    code, report = saga(world, "retry", *frozen)
    assert code == 6
    counts = {name: report[name] for name in ("total", "sent", "succeeded", "failed", "refused", "waiting", "missing")}
    assert counts == {
        "total": 25, "sent": 25, "succeeded": 23, "failed": 1, "refused": 1, "waiting": 0, "missing": ["order-99"],
    }  # fmt: skip
    said = {row["sagaId"]: row["message"] for row in report["notDone"]}
    assert said["order-07"] == "'reserve_inventory' failed again: still locked"
    assert said["order-25"] == "the saga has ended: nothing can be changed any more"

    code, again = saga(world, "retry", *frozen)
    assert (code, again["sent"], again["sentBefore"], again["succeeded"]) == (6, 0, 25, 23)
    assert len(rows(world, "acts", "--bulk-id", "b1", "-n", "100")) == 25
    await repair(world, "inventory")
    code, report = saga(world, "retry", "--all", "--yes")
    assert (code, report["total"], report["succeeded"]) == (0, 1, 1)


async def test_an_act_sent_while_no_orchestrator_runs_is_taken_once_when_one_starts_R25(world: World) -> None:
    await world.start(*PATIENT, services=("inventory", "orders"))
    await world.order("order-1")
    await reach_step(world, "process_payment", "IN_PROGRESS")
    world.orchestrator.kill()

    data = ("--step", "process_payment", "--data", '{"charge_id": "by-hand"}', "--act-id", "ticket-18")
    result = run_saga(world.environment, "skip", "order-1", *data, "--timeout", "100ms")
    assert result.returncode == 5
    assert "no orchestrator runs on this store: the act waits there" in result.stderr
    assert [act["outcome"] for act in rows(world, "acts", "--waiting")] == [None]

    world.orchestrator.start()
    await world.ready("orchestrator")
    assert (await world.ended(1))["order-1"]["state"] == "COMPLETED"
    code, done = saga(world, "skip", "order-1", *data)
    assert (code, done["result"]) == (0, "succeeded")
    assert [row["status"] for row in world.log("order-1", "--all")].count("ACT") == 1
    assert rows(world, "acts", "--waiting") == []
