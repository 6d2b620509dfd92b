"""Take an order: reserve the stock, charge the card, write the order. Undone in reverse when a step fails."""

from __future__ import annotations

from kafka_saga.orchestrator.definition import Saga, Step
from kafka_saga.schemas.orders import (
    CancelOrder,
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    OrderRequested,
    PaymentCharged,
    RefundPayment,
    ReleaseItems,
    ReserveItems,
)

order_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[
        Step(
            "reserve_inventory",
            service="inventory",
            action=ReserveItems,
            compensation=ReleaseItems,
            reply=ItemsReserved,
        ),
        Step(
            "process_payment",
            service="payment",
            action=ChargePayment,
            compensation=RefundPayment,
            reply=PaymentCharged,
        ),
        Step(
            "create_order",
            service="orders",
            action=CreateOrder,
            compensation=CancelOrder,
            reply=OrderCreated,
        ),
    ],
)
