"""A compensation that always fails parks its saga and nobody else; repaired and retried, it ends (R18; fault 51)."""

from __future__ import annotations

import pytest

from tests.integration.processes import run_saga, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

BAD = [f"order-{number}" for number in range(5)]
GOOD = [f"order-{number}" for number in range(5, 100)]
REJECTED = {"SAGA_FAULT_REJECT": ";".join(f"createOrder:saga={saga_id}:text=no" for saga_id in BAD)}


@pytest.mark.parametrize(
    "broken",
    [{"SAGA_FAULT_REJECT": "refundPayment:text=the ledger is closed"}, {"SAGA_FAULT_RAISE": "refundPayment:text=boom"}],
    ids=["refuses", "raises"],
)
async def test_a_compensation_that_fails_for_ever_is_parked_and_ends_once_it_is_repaired(
    world: World, broken: dict[str, str]
) -> None:
    await world.start(faults={"payment": broken, "orders": REJECTED})
    await world.order(*BAD, *GOOD)
    outcomes = await world.ended(len(GOOD))
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}, "the others are not held up"
    assert set(outcomes) == set(GOOD)
    await until("the five are parked", lambda: [world.books.states()[saga_id] for saga_id in BAD] == ["PARKED"] * 5)
    said = run_saga(world.environment, "explain", BAD[0]).stdout
    assert "compensation_failed" in said
    assert f"saga retry {BAD[0]}" in " ".join(said.split())
    assert world.books.ask("payment", "SELECT count(*) FROM charges WHERE status = 'charged'") == [(100,)]

    payment = world.processes["payment"]
    assert payment.terminate() == 0
    for name in broken:
        del payment.environment[name]
    payment.start()
    await world.ready("payment")
    one = run_saga(world.environment, "retry", BAD[0], "--actor", "the test", "--reason", "repaired")
    assert one.returncode == 0, one.stderr
    others = run_saga(world.environment, "retry", "--cause", "compensation-failed", "--actor", "the test", "--yes")
    assert others.returncode == 0, others.stderr
    outcomes = await world.ended(len(BAD) + len(GOOD))
    assert {outcomes[saga_id]["state"] for saga_id in BAD} == {"COMPENSATED"}
    assert {tuple(outcomes[saga_id]["stepsCompensated"]) for saga_id in BAD} == {(2, 1)}
    world.books.check(outcomes)
    acts = world.books.ask("orchestrator", "SELECT saga_id, outcome, actor FROM acts ORDER BY saga_id")
    assert acts == [(saga_id, "done", "the test") for saga_id in BAD]
