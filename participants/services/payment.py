"""Payment: takes an order's amount from the customer's account, and gives it back."""

from __future__ import annotations

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.services.service import Seed, Service
from kafka_saga.participants.transaction import Transaction
from kafka_saga.runtime.sqlite import SqlConnection
from kafka_saga.schemas.orders import ChargePayment, PaymentCharged, RefundPayment

payment = Participant("payment")


@payment.action(ChargePayment)
async def charge_payment(command: ChargePayment, tx: Transaction) -> PaymentCharged:
    """Take the amount.

    Raises:
        Rejected: there is no such account, in this currency, with enough on it.

    """
    taken = await tx.execute(
        "UPDATE accounts SET balance = balance - ?1 WHERE customer_id = ?2 AND currency = ?3 AND balance >= ?1",
        (command.amount, command.customer_id, command.currency),
    )
    if not taken:
        await _reject(command, tx)
    charge_id = f"ch-{command.order_id}"
    await tx.execute(
        "INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, 'charged', 0, ?, ?)",
        (
            charge_id,
            tx.saga_id,
            tx.step,
            command.order_id,
            command.customer_id,
            command.amount,
            command.currency,
            tx.now_ms,
            tx.now_ms,
        ),
    )
    return PaymentCharged(charge_id=charge_id)


@payment.compensation(RefundPayment)
async def refund_payment(command: RefundPayment, tx: Transaction) -> None:
    """Give the amount back.

    Raises:
        Rejected: nothing was charged for this step; a person changed the tables.

    """
    charged = await tx.fetch_all(
        "UPDATE charges SET status = 'refunded', refunds = refunds + 1, updated_at = ? "
        "WHERE saga_id = ? AND step = ? AND status = 'charged' RETURNING customer_id, amount",
        (tx.now_ms, tx.saga_id, tx.step),
    )
    if not charged:
        raise Rejected(f"nothing is charged for order {command.order_id}")
    for customer_id, amount in charged:
        await tx.execute("UPDATE accounts SET balance = balance + ? WHERE customer_id = ?", (amount, customer_id))


async def _reject(command: ChargePayment, tx: Transaction) -> None:
    row = await tx.fetch_one("SELECT currency FROM accounts WHERE customer_id = ?", (command.customer_id,))
    if row is None:
        raise Rejected(f"card declined: no account of customer {command.customer_id}")
    if row[0] != command.currency:
        raise Rejected(f"card declined: the account is in {row[0]}, not in {command.currency}")
    raise Rejected("card declined: the balance is too low")


async def _fill(connection: SqlConnection, seed: Seed) -> None:
    await connection.execute_many(
        "INSERT INTO accounts VALUES (?1, ?2, ?3, ?3) ON CONFLICT DO NOTHING",
        [(account.customer_id, account.currency, account.balance) for account in seed.accounts],
    )


SERVICE = Service(payment, _fill)
