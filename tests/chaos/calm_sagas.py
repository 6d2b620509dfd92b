"""The shipped order saga with more patience than any fault of a chaos run lasts: with --app. Each timeout is false."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga import Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas.orders import OrderRequested

TIMEOUT_MS = 180_000

calm_order_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[replace(step, timeout_ms=TIMEOUT_MS, compensation_timeout_ms=TIMEOUT_MS) for step in order.order_saga.steps],
)
