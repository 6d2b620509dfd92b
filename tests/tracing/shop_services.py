"""A payment participant whose handler makes a span of its own, and logs by the standard library."""

from __future__ import annotations

import logging

from opentelemetry import trace

from kafka_saga import Participant, Rejected, Transaction
from kafka_saga.schemas.orders import ChargePayment, PaymentCharged, RefundPayment

payment = Participant("payment")


@payment.action(ChargePayment)
async def charge(command: ChargePayment, _tx: Transaction) -> PaymentCharged:
    with trace.get_tracer("shop").start_as_current_span("ask the bank"):
        logging.getLogger("shop.bank").info("asked")
    if command.amount > 1_000:
        raise Rejected("no credit")
    return PaymentCharged(charge_id="ch-1")


@payment.compensation(RefundPayment)
async def refund(_command: RefundPayment, _tx: Transaction) -> None:
    pass
