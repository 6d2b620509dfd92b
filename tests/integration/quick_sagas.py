"""The shipped order saga with short patience, for tests of timeouts: loaded with --app."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga import Retry, Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas.orders import OrderRequested

TIMEOUT_MS = 1_000
QUICK = Retry(retries_max=3, backoff_ms=200)

quick_order_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[replace(step, timeout_ms=TIMEOUT_MS, retry=QUICK) for step in order.order_saga.steps],
)
