"""The broker goes away in the middle of everything: nothing is lost, and nothing is undone because of it (R21)."""

from __future__ import annotations

import asyncio
import os

import pytest

from deploy.kafka import kafka as local_kafka
from tests.integration.processes import CLOCK
from tests.integration.world import World

pytestmark = [pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = 3_000
OUTAGE_MS = int(os.environ.get("SAGA_TEST_OUTAGE_S", "20")) * 1_000


@pytest.mark.timeout(300 + OUTAGE_MS // 1_000)
@pytest.mark.parametrize("how", ["hangs", "dies"])
async def test_no_saga_is_undone_because_the_broker_was_away_R21(
    fragile: World, own_broker: local_kafka.Broker, how: str
) -> None:
    await fragile.start()
    await fragile.order(*[f"order-{number}" for number in range(ORDERS)])
    await fragile.ended(ORDERS // 10)

    if how == "hangs":
        own_broker.pause()
        await CLOCK.sleep(OUTAGE_MS)
        own_broker.resume()
    else:
        await asyncio.to_thread(own_broker.kill)
        await CLOCK.sleep(OUTAGE_MS)
        await asyncio.to_thread(own_broker.start)

    outcomes = await fragile.ended(ORDERS)
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    fragile.books.check(outcomes)
    assert "TIMEOUT" not in fragile.books.log_counts(), "no broker, no timeouts"
    peaks = fragile.memory_peaks_mb()
    assert {name: peak for name, peak in peaks.items() if peak > 300} == {}, "what waits, waits in Kafka (I20)"


async def test_an_orchestrator_that_may_not_wait_for_its_broker_ends_and_a_later_start_goes_on(
    fragile: World, own_broker: local_kafka.Broker
) -> None:
    await fragile.start()
    await fragile.order("order-1")
    await fragile.ended(1)
    assert fragile.orchestrator.terminate() == 0
    await asyncio.to_thread(own_broker.stop)
    fragile.orchestrator.start(SAGA_BROKER_WAIT_MS="0")
    while fragile.orchestrator.running():
        await CLOCK.sleep(50)
    assert fragile.orchestrator.code() == 5
    assert "Traceback" not in fragile.orchestrator.output()

    await asyncio.to_thread(own_broker.start)
    fragile.orchestrator.start()
    await fragile.ready("orchestrator")
    await fragile.order("order-2")
    await fragile.ended(2)
    fragile.books.check(fragile.outcomes)
