"""The order saga with an hour of patience: for orders that stay in flight while nobody answers (`--app`)."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas.orders import OrderRequested

_HOUR_MS = 3_600_000

patient_order = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[replace(step, timeout_ms=_HOUR_MS, compensation_timeout_ms=_HOUR_MS) for step in order.order_saga.steps],
)
