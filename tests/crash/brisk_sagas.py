"""The shipped order saga, quick to notice a lost reply, slow to give up, and too patient to park: with --app."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga import Retry, Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas.orders import OrderRequested

TIMEOUT_MS = 1_000

brisk_order_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[
        replace(
            step,
            timeout_ms=TIMEOUT_MS,
            retry=Retry(retries_max=9, backoff_ms=200, backoff_ms_max=1_000),
            compensation_timeout_ms=TIMEOUT_MS,
            # A process that is killed again and again may be away for longer, and comes back.
            compensation_retry=Retry(retries_max=19, backoff_ms=200, backoff_ms_max=2_000),
        )
        for step in order.order_saga.steps
    ],
)
