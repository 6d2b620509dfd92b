"""The broker is restarted in the middle of a flood: stopped cleanly, and killed (fault 17; I1, I3, I9, R20, R21).

A broker that hangs or is gone for long is in tests/integration/test_outages.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from deploy.kafka import kafka as local_kafka
from tests.integration.processes import CLOCK
from tests.integration.world import World

pytestmark = [pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = int(os.environ.get("SAGA_TEST_ORDERS", "5000"))
PORTION = 1_000
FAULTS = {"orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"}}


@pytest.mark.timeout(240 + ORDERS // 50)
async def test_a_broker_that_is_restarted_in_a_flood_loses_nothing_and_undoes_nothing(
    fragile: World, own_broker: local_kafka.Broker, remark: Callable[[str], None]
) -> None:
    await fragile.start(faults=FAULTS)
    began_ms = CLOCK.monotonic_ms()
    for first in range(0, ORDERS, PORTION):
        await fragile.order(*[f"order-{number}" for number in range(first, min(ORDERS, first + PORTION))])
    away_ms = 0
    for share, stop in ((ORDERS // 5, own_broker.stop), (ORDERS // 2, own_broker.kill)):
        await fragile.ended(share, patience_ms=200_000)
        stopped_ms = CLOCK.monotonic_ms()
        await asyncio.to_thread(stop)
        await asyncio.to_thread(own_broker.start)
        away_ms += CLOCK.monotonic_ms() - stopped_ms
    outcomes = await fragile.ended(ORDERS, patience_ms=200_000 + 10 * ORDERS)
    took_s = (CLOCK.monotonic_ms() - began_ms) / 1000
    counts = fragile.books.log_counts()
    remark(
        f"{ORDERS:,} sagas in {took_s:.1f} s, the broker restarted twice and away for {away_ms / 1000:.1f} s; "
        f"timeouts: {counts.get('TIMEOUT', 0)}"
    )
    fragile.books.check(outcomes)
    errors = {outcome["error"] for outcome in outcomes.values()}
    assert errors == {None, "Database connection failed"}, "an outage is not a failure (R21)"
