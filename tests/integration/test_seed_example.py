"""The seed's example, with real processes: step 3 fails with "Database connection failed" (R10)."""

from __future__ import annotations

import pytest

from tests.integration.world import World, order

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

ERROR = "Database connection failed"
RECORD = {
    "sagaId": "order-123",
    "state": "COMPENSATED",
    "stepsExecuted": [1, 2],
    "stepsCompensated": [2, 1],
    "error": ERROR,
}
FIVE_ROWS = [(1, "SUCCESS"), (2, "SUCCESS"), (3, "FAILED"), (2, "COMPENSATED"), (1, "COMPENSATED")]


def check(world: World) -> None:
    """The record and the log, as the command line shows them, are the seed's."""
    shown = world.show("order-123")
    assert RECORD.items() <= shown.items()
    assert (shown["currentStep"], shown["data"]["request"]) == (1, order("order-123"))
    assert world.outcomes["order-123"].items() <= shown.items(), "the event says what the command line says"
    rows = world.log("order-123")
    assert [(row["step"], row["status"]) for row in rows] == FIVE_ROWS
    assert rows[2]["detail"]["error"] == ERROR
    world.books.check(world.outcomes)


async def test_a_business_rejection_ends_in_the_seeds_record_R10(world: World) -> None:
    await world.start(faults={"orders": {"SAGA_FAULT_REJECT": f"createOrder:saga=order-123:text={ERROR}"}})
    await world.order("order-123")
    await world.ended(1)
    check(world)


async def test_an_exception_that_persists_through_its_retries_ends_in_the_seeds_record_R10(world: World) -> None:
    await world.start(faults={"orders": {"SAGA_FAULT_RAISE": f"createOrder:saga=order-123:text={ERROR}"}})
    await world.order("order-123")
    await world.ended(1)
    check(world)
    rows = [row for row in world.log("order-123", "--all") if row["name"] == "create_order"]
    retries = [row for row in rows if row["status"] == "RETRY"]
    assert [row["detail"]["retry_at"] - row["at"] for row in retries[:3]] == [1_000, 2_000, 4_000]
    assert [row["attempt"] for row in rows if row["status"] == "IN_PROGRESS"] == [1, 2, 3, 4]
    assert rows[-1]["status"] == "NOTHING_TO_UNDO", "in doubt until its service says that it never ran (R8, R9)"


async def test_an_exception_that_passes_is_not_noticed_by_the_customer(world: World) -> None:
    await world.start(faults={"payment": {"SAGA_FAULT_RAISE": "chargePayment:first=1:text=connection reset"}})
    await world.order("order-7")
    outcomes = await world.ended(1)
    assert outcomes["order-7"]["state"] == "COMPLETED"
    assert [row["status"] for row in world.log("order-7")] == ["SUCCESS"] * 3
    world.books.check(outcomes)


@pytest.mark.parametrize(
    ("fields", "executed", "error"),
    [
        ({"items": [{"sku": "sold-out", "quantity": 1}]}, [], "out of stock: sold-out (1 wanted, 0 left)"),
        ({"customer_id": "broke"}, [1], "card declined: the balance is too low"),
    ],
)
async def test_an_earlier_refusal_undoes_only_what_was_done(
    world: World, fields: dict[str, object], executed: list[int], error: str
) -> None:
    await world.start()
    await world.order("order-8", **fields)
    outcomes = await world.ended(1)
    record = outcomes["order-8"]
    assert (record["state"], record["stepsExecuted"], record["stepsCompensated"]) == ("COMPENSATED", executed, executed)
    assert record["error"] == error
    world.books.check(outcomes)
