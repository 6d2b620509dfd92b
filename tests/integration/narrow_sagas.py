"""The shipped order saga with models that refuse too much: what a hasty release looks like. Loaded with --app."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from kafka_saga import Saga
from kafka_saga.orchestrator.sagas import order
from kafka_saga.schemas import orders


class OrderRequested(orders.OrderRequested):
    """Nobody orders for more than ten euros."""

    amount: Annotated[int, Field(gt=0, le=1_000)]


class PaymentCharged(orders.PaymentCharged):
    """No charge has more than two digits."""

    charge_id: Annotated[str, Field(pattern=r"^ch-[0-9]{2}$")]


PATIENCE_MS = 120_000

narrow_order_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[
        replace(step, reply=PaymentCharged if step.service == "payment" else step.reply, timeout_ms=PATIENCE_MS)
        for step in order.order_saga.steps
    ],
)
