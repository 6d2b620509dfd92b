"""The outside world: a card processor that honours idempotency keys, and a payment service that calls it (R17)."""

from __future__ import annotations

from collections import Counter

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.services import SERVICES, Seed
from kafka_saga.participants.services.payment import charge_payment, refund_payment
from kafka_saga.participants.services.service import Service
from kafka_saga.participants.transaction import Transaction
from kafka_saga.schemas.orders import ChargePayment, PaymentCharged, RefundPayment
from tests.simulation.broker import SimBroker


class CardProcessor:
    """Charges a key once, however often it is called, and answers as badly as any other server."""

    def __init__(self, broker: SimBroker, seed: Seed) -> None:
        self.charged: dict[str, int] = {}
        """The amount of each key."""
        self.refunded: dict[str, int] = {}
        """The amount that each key gave back."""
        self.calls: Counter[str] = Counter()
        self._broker = broker
        self._declined: set[str] = set()
        self._left = {account.customer_id: account.balance for account in seed.accounts}

    async def charge(self, key: str, customer: str, amount: int) -> None:
        """Take `amount` from the customer's card.

        Raises:
            Rejected: there is not enough on it; nothing was done.
            ConnectionError: no answer; it may have been done.

        """
        broker = self._broker
        await self._arrive(key)
        if key not in self.charged:
            if key in self._declined or broker.happens(broker.swarm.lose_ack):
                self._declined.add(key)
                raise Rejected("card declined: not today")
            if self._left.get(customer, 0) < amount:
                raise Rejected("card declined: the balance is too low")
            self._left[customer] -= amount
            self.charged[key] = amount
        self._answer()

    async def refund(self, key: str, order_id: str) -> None:
        """Give back what was taken for an order: once a key, and once more for another, as processors do.

        Raises:
            ConnectionError: no answer; it may have been done.

        """
        await self._arrive(key)
        if key not in self.refunded:
            self.refunded[key] = sum(
                amount for charge, amount in self.charged.items() if charge.split("/")[1] == order_id
            )
        self._answer()

    async def _arrive(self, key: str) -> None:
        broker = self._broker
        self.calls[key] += 1
        await broker.clock.sleep(broker.chance.randint(0, broker.swarm.latency_ms_max))
        if broker.happens(broker.swarm.lose_ack):
            raise ConnectionError("the request was lost")

    def _answer(self) -> None:
        if self._broker.happens(self._broker.swarm.lose_ack):
            raise ConnectionError("the answer was lost")


def external_payment(processor: CardProcessor) -> Service:
    """The payment service with charge and refund made outside; its tables are the shipped ones."""
    payment = Participant("payment")

    async def keep(command: ChargePayment, _reply: PaymentCharged, tx: Transaction) -> None:
        await charge_payment(command, tx)

    @payment.external_action(ChargePayment, store=keep)
    async def charge(command: ChargePayment, idempotency_key: str) -> PaymentCharged:
        await processor.charge(idempotency_key, command.customer_id, command.amount)
        return PaymentCharged(charge_id=f"ch-{command.order_id}")

    async def note_refund(command: RefundPayment, _reply: None, tx: Transaction) -> None:
        await refund_payment(command, tx)

    @payment.external_compensation(RefundPayment, store=note_refund)
    async def refund(command: RefundPayment, idempotency_key: str) -> None:
        await processor.refund(idempotency_key, command.order_id)

    return Service(payment, SERVICES["payment"].fill)
