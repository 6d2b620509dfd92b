"""Orders: writes an order, and strikes it out."""

from __future__ import annotations

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.services.service import Service
from kafka_saga.participants.transaction import Transaction
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.orders import CancelOrder, CreateOrder, OrderCreated

orders = Participant("orders")

_INSERT = """
INSERT INTO orders (saga_id, step, order_id, customer_id, items, amount, currency, reservation_id, charge_id,
                    status, cancellations, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'created', 0, ?, ?) RETURNING number
"""


@orders.action(CreateOrder)
async def create_order(command: CreateOrder, tx: Transaction) -> OrderCreated:
    """Write the order, under the next number."""
    row = await tx.fetch_one(
        _INSERT,
        (
            tx.saga_id,
            tx.step,
            command.order_id,
            command.customer_id,
            encode([item.model_dump() for item in command.items]).decode(),
            command.amount,
            command.currency,
            command.reservation_id,
            command.charge_id,
            tx.now_ms,
            tx.now_ms,
        ),
    )
    assert row is not None
    return OrderCreated(order_number=f"ORD-{row[0]:06d}")


@orders.compensation(CancelOrder)
async def cancel_order(command: CancelOrder, tx: Transaction) -> None:
    """Strike the order out; its number stays used.

    Raises:
        Rejected: there is no such order; a person changed the tables.

    """
    struck_out = await tx.execute(
        "UPDATE orders SET status = 'cancelled', cancellations = cancellations + 1, updated_at = ? "
        "WHERE saga_id = ? AND step = ? AND status = 'created'",
        (tx.now_ms, tx.saga_id, tx.step),
    )
    if not struck_out:
        raise Rejected(f"there is no order {command.order_id} to cancel")


SERVICE = Service(orders)
