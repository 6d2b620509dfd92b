"""The shipped order saga with a lot of patience: what a test does meanwhile may take its time on a busy machine."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga import Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas.orders import OrderRequested

patient_order_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[replace(step, timeout_ms=300_000) for step in order.order_saga.steps],
)
