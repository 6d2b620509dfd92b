"""The shipped order saga, quick to give up an attempt and slow to begin the next: its backoff is a wide window."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga import Retry, Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas.orders import OrderRequested

slow_retry_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[
        replace(step, timeout_ms=1_000, retry=Retry(retries_max=1, backoff_ms=30_000))
        for step in order.order_saga.steps
    ],
)
