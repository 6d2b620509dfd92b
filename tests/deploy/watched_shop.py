"""A saga that does, on request, everything that a metric counts."""

from __future__ import annotations

from pydantic import BaseModel

from kafka_saga import CommandContext, Participant, Rejected, Retry, Saga, Step, Transaction
from kafka_saga.runtime.clock import SystemClock

LATE_MS = 1_500


class Ordered(BaseModel):
    order_id: str
    way: str


class Reserve(BaseModel):
    way: str


class Release(BaseModel):
    way: str


class Charge(BaseModel):
    way: str


class Refund(BaseModel):
    way: str


quickly = Retry(retries_max=1, backoff_ms=20)
shop_saga = Saga(
    "shop",
    version=1,
    request=Ordered,
    id_from="order_id",
    steps=[
        Step("reserve", service="stock", action=Reserve, compensation=Release, retry=quickly),
        Step("charge", service="payment", action=Charge, compensation=Refund, retry=quickly, timeout_ms=LATE_MS // 2),
    ],
)

stock, payment = Participant("stock"), Participant("payment")


@stock.action(Reserve)
async def reserve(command: Reserve, _tx: Transaction, context: CommandContext) -> None:
    if command.way == "flaky" and context.head.attempt == 1:
        raise ConnectionError("the shelf does not answer")


@stock.compensation(Release)
async def release(command: Release, _tx: Transaction) -> None:
    if command.way == "stuck":
        raise Rejected("the parcel has left")


@payment.external_action(Charge)
async def charge(command: Charge, _idempotency_key: str) -> None:
    if command.way == "late":
        await SystemClock().sleep(LATE_MS)
    if command.way in {"declined", "stuck"}:
        raise Rejected("card declined")


@payment.compensation(Refund)
async def refund(_command: Refund, _tx: Transaction) -> None:
    """Nothing was kept."""
