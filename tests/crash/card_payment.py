"""A payment service that charges cards at a processor outside of its database (R17): the books see the shipped one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.services import SERVICES
from kafka_saga.participants.services import payment as shipped
from kafka_saga.participants.transaction import Transaction
from kafka_saga.runtime.sqlite import SqlConnection
from kafka_saga.schemas.orders import ChargePayment, PaymentCharged, RefundPayment

NAME = "tests.crash.card_payment:payment"
PROCESSOR = "cards.db"

payment = Participant("payment")


async def prepare(connection: SqlConnection) -> None:
    await SERVICES["payment"].prepare(connection)


async def _store(command: ChargePayment, _reply: PaymentCharged, tx: Transaction) -> None:
    await shipped.charge_payment(command, tx)


@payment.external_action(ChargePayment, store=_store)
async def charge_card(command: ChargePayment, idempotency_key: str) -> PaymentCharged:
    """The processor takes a key's second call for the first."""
    if command.customer_id == "broke":
        raise Rejected("card declined")
    with closing(sqlite3.connect(Path(os.environ["SAGA_DATA_DIR"]) / PROCESSOR, isolation_level=None)) as processor:
        processor.execute("CREATE TABLE IF NOT EXISTS cards (key TEXT PRIMARY KEY, amount INTEGER, calls INTEGER)")
        processor.execute(
            "INSERT INTO cards VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1",
            (idempotency_key, command.amount),
        )
    return PaymentCharged(charge_id=f"ch-{command.order_id}")


@payment.compensation(RefundPayment)
async def refund_payment(command: RefundPayment, tx: Transaction) -> None:
    await shipped.refund_payment(command, tx)
