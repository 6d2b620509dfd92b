"""The messages of the shipped order saga.

Amounts are whole minor units (cents): money has no fractions. Unknown fields are dropped, wrong types refused.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kafka_saga.schemas.ids import SAGA_ID_PATTERN

OrderId = Annotated[str, Field(pattern=SAGA_ID_PATTERN, description="The order's id, and its saga's")]
CustomerId = Annotated[str, Field(min_length=1, max_length=128)]
Sku = Annotated[str, Field(min_length=1, max_length=64, description="Stock keeping unit")]
Amount = Annotated[int, Field(gt=0, le=10**12, description="Minor units (cents)")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code")]


class MessageModel(BaseModel):
    """A message's body: immutable, strict about types, forgiving about fields it does not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class OrderItem(MessageModel):
    """One line of an order."""

    sku: Sku
    quantity: Annotated[int, Field(gt=0, le=10_000)]


Items = Annotated[list[OrderItem], Field(min_length=1, max_length=100)]


class OrderRequested(MessageModel):
    """Somebody wants an order: it starts a saga."""

    order_id: OrderId
    customer_id: CustomerId
    items: Items
    amount: Amount
    currency: Currency


class ReserveItems(MessageModel):
    """Set the order's items aside."""

    order_id: OrderId
    items: Items


class ItemsReserved(MessageModel):
    """The items are set aside."""

    reservation_id: str


class ReleaseItems(MessageModel):
    """Put the order's items back into stock."""

    order_id: OrderId
    reservation_id: str | None = None


class ChargePayment(MessageModel):
    """Take the order's amount from the customer's account."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Amount
    currency: Currency


class PaymentCharged(MessageModel):
    """The amount has been taken."""

    charge_id: str


class RefundPayment(MessageModel):
    """Give the order's amount back."""

    order_id: OrderId
    charge_id: str | None = None


class CreateOrder(MessageModel):
    """Write the order."""

    order_id: OrderId
    customer_id: CustomerId
    items: Items
    amount: Amount
    currency: Currency
    reservation_id: str
    charge_id: str


class OrderCreated(MessageModel):
    """The order is written."""

    order_number: str


class CancelOrder(MessageModel):
    """Strike the order out."""

    order_id: OrderId
