"""The participants of other stacks: with our orchestrator and services, and command by command."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES
from tests.examples.payment import Payment
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


async def test_orders_complete_with_it_in_the_place_of_our_payment_service(world: World, payment: Payment) -> None:
    await world.start(services=["inventory", "orders"])
    await payment.start()
    await world.order(*[f"order-{number}" for number in range(20)])
    outcomes = await world.ended(20)
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    assert payment.ledger() == [4_990] * 20
    assert world.show("order-7")["data"]["replies"]["process_payment"] == {"charge_id": "charge-order-7"}


async def test_its_refusal_undoes_our_step_and_charges_nothing(world: World, payment: Payment) -> None:
    await world.start(services=["inventory", "orders"])
    await payment.start()
    await world.order("order-1", amount=2_000_000)
    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["stepsExecuted"], record["stepsCompensated"]) == ("COMPENSATED", [1], [1])
    assert record["error"] == "card declined: over the limit"
    assert payment.ledger() == []


async def test_a_failure_after_it_has_its_charge_refunded(world: World, payment: Payment) -> None:
    text = "Database connection failed"
    await world.start(
        services=["inventory", "orders"], faults={"orders": {"SAGA_FAULT_REJECT": f"createOrder:text={text}"}}
    )
    await payment.start()
    await world.order("order-1")
    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["stepsCompensated"], record["error"]) == ("COMPENSATED", [2, 1], text)
    assert payment.ledger() == [4_990, -4_990]


async def test_a_command_of_the_orchestrator_that_comes_twice_charges_once(world: World, payment: Payment) -> None:
    await world.start(services=["inventory", "orders"])
    await payment.start()
    await world.order("order-1")
    assert (await world.ended(1))["order-1"]["state"] == "COMPLETED"
    (command,) = await world.read(payment.commands, 1)
    await world.publish(payment.commands, command.value, command.key, command.headers)
    first, second = await payment.answers(2)
    assert first == second
    assert first.outcome == "success"
    assert payment.ledger() == [4_990]


async def test_after_a_kill_a_duplicate_still_gets_the_stored_reply(payment: Payment) -> None:
    await payment.start_alone()
    await payment.charge("order-1")
    await payment.answers(1)
    payment.process.kill()
    await payment.start()
    await payment.charge("order-1", attempt=2)
    first, *_, last = await payment.answers(2)
    assert first == last
    assert payment.ledger() == [4_990]


async def test_a_refund_of_an_unknown_step_undoes_nothing_and_the_late_charge_is_refused(payment: Payment) -> None:
    await payment.start_alone()
    await payment.refund("order-1")
    await payment.charge("order-1")
    undone, refused = await payment.answers(2)
    assert (undone.outcome, undone.effect, undone.body) == ("success", "none", {})
    assert (refused.outcome, refused.reason) == ("failure", "fenced")
    assert refused.command_id == "order/order-1/process_payment/forward/1"
    assert payment.ledger() == []


async def test_a_refund_that_comes_twice_gives_back_once(payment: Payment) -> None:
    await payment.start_alone()
    await payment.charge("order-1")
    await payment.refund("order-1")
    await payment.refund("order-1", attempt=2)
    _, first, second = await payment.answers(3)
    assert first == second
    assert (first.outcome, first.effect) == ("success", None)
    assert payment.ledger() == [4_990, -4_990]


async def test_a_command_it_does_not_know_is_answered_with_retry_and_blocks_nothing(payment: Payment) -> None:
    await payment.start_alone()
    await payment.send("blessPayment", "order-1", "forward")
    await payment.charge("order-1")
    unknown, charged = await payment.answers(2)
    assert (unknown.outcome, charged.outcome) == ("retry", "success")
    assert payment.ledger() == [4_990]


@pytest.mark.parametrize(
    ("file", "lines_max"),
    [("foreign_participant.py", 60), ("node-participant/participant.js", 80), ("go-participant/participant.go", 210)],
)
def test_it_fits_on_a_page(file: str, lines_max: int) -> None:
    assert len((EXAMPLES / file).read_text().splitlines()) <= lines_max


@pytest.mark.parametrize("file", ["foreign_participant.py", "order_service.py"])
def test_it_imports_nothing_of_ours(file: str) -> None:
    assert _imported(EXAMPLES / file) <= {
        "__future__", "aiokafka", "argparse", "asyncio", "json", "secrets", "sqlite3", "sys", "typing",
    }  # fmt: skip


def test_the_node_packages_are_pinned_and_name_no_registry() -> None:
    folder = EXAMPLES / "node-participant"
    pinned = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in pinned} == pinned
    assert all("integrity" in entry and "resolved" not in entry for name, entry in locked.items() if name)


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names
