"""Replies that come late, or never: what is sent again, what is undone, and what a late reply changes (R7, R8, R11)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

QUICK = ("--app", "tests.integration.quick_sagas")
SLOW_RETRY = ("--app", "tests.integration.slow_retry_sagas")


def payment_rows(world: World) -> list[dict[str, Any]]:
    return [row for row in world.log("order-1", "--all") if row["name"] == "process_payment"]


def statuses(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["status"], row["attempt"]) for row in rows]


async def test_a_lost_reply_costs_five_seconds_and_one_more_attempt(world: World) -> None:
    await world.start(faults={"payment": {"SAGA_FAULT_LOSE": "chargePayment:first=1"}})
    await world.order("order-1")
    outcomes = await world.ended(1)
    assert outcomes["order-1"]["state"] == "COMPLETED"
    rows = payment_rows(world)
    assert statuses(rows) == [("IN_PROGRESS", 1), ("TIMEOUT", 1), ("IN_PROGRESS", 2), ("SUCCESS", 2)]
    assert rows[1]["at"] - rows[0]["at"] >= 5_000
    assert rows[2]["at"] - rows[1]["at"] >= 1_000
    world.books.check(outcomes)


async def test_silence_through_every_attempt_undoes_what_may_have_happened_R8(world: World) -> None:
    await world.start(*QUICK, faults={"payment": {"SAGA_FAULT_LOSE": "chargePayment"}})
    await world.order("order-1")
    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["error"]) == ("COMPENSATED", "no reply within 1 s")
    assert (record["stepsExecuted"], record["stepsCompensated"]) == ([1, 2], [2, 1]), "the charge had happened"
    rows = payment_rows(world)
    timeouts = [row for row in rows if row["status"] == "TIMEOUT"]
    assert [row["attempt"] for row in timeouts] == [1, 2, 3, 4]
    assert [row["detail"]["retry_at"] - row["at"] for row in timeouts[:3]] == [200, 400, 800]
    world.books.check(world.outcomes)


async def test_a_reply_that_comes_during_the_backoff_counts_R7(world: World) -> None:
    await world.start(*SLOW_RETRY, faults={"payment": {"SAGA_FAULT_LATE": "chargePayment:first=1:ms=4000"}})
    await world.order("order-1")
    outcomes = await world.ended(1)
    assert outcomes["order-1"]["state"] == "COMPLETED"
    assert statuses(payment_rows(world)) == [("IN_PROGRESS", 1), ("TIMEOUT", 1), ("SUCCESS", 1)]
    world.books.check(outcomes)


async def test_a_reply_that_comes_while_its_step_is_being_undone_is_one_log_row_R11(world: World) -> None:
    # Given up after 4 attempts and 5.4 s; the reply comes at 8 s; that of the compensation not before 14 s, because
    # its first attempt's (timeout 5 s) is lost too, and the second waits for its backoff.
    faults = {"SAGA_FAULT_LATE": "chargePayment:ms=8000", "SAGA_FAULT_LOSE": "refundPayment:first=1"}
    await world.start(*QUICK, faults={"payment": faults})
    await world.order("order-1")
    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["stepsExecuted"], record["stepsCompensated"]) == ("COMPENSATED", [1, 2], [2, 1])
    found = [row["status"] for row in payment_rows(world)]
    assert found.count("LATE_SUCCESS") == 1
    assert found.index("COMPENSATING") < found.index("LATE_SUCCESS") < found.index("COMPENSATED")
    world.books.check(world.outcomes)
