"""A payment participant that calls a bank outside of any transaction; the bank is away at each order's first call."""

from __future__ import annotations

from opentelemetry import trace

from kafka_saga import Participant, Transaction
from kafka_saga.schemas.orders import ChargePayment, PaymentCharged, RefundPayment

payment = Participant("payment")
tracer = trace.get_tracer("shop")
_asked: set[str] = set()


async def note_charge(_command: ChargePayment, _reply: PaymentCharged, _tx: Transaction) -> None:
    with tracer.start_as_current_span("note the charge"):
        pass


@payment.external_action(ChargePayment, store=note_charge)
async def charge(_command: ChargePayment, idempotency_key: str) -> PaymentCharged:
    with tracer.start_as_current_span("ask the bank"):
        if idempotency_key not in _asked:
            _asked.add(idempotency_key)
            raise ConnectionError("the bank is away")
    return PaymentCharged(charge_id="ch-1")


@payment.external_compensation(RefundPayment)
async def refund(_command: RefundPayment, _idempotency_key: str) -> None:
    with tracer.start_as_current_span("ask the bank"):
        pass
