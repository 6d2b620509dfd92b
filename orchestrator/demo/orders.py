"""The orders of the demo, and what is made to go wrong with single ones of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.schemas.codec import encode

SERVICE_DOWN: Final = "Database connection failed"
"""What the orders service says of order-123 until its retries are spent."""

REPLY_LATE_MS: Final = 800
"""How late payment answers the orders that must be in flight when the orchestrator is killed."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order, and how its saga must end."""

    order_id: str
    customer_id: str = "alice"
    sku: str = "book"
    amount: int = 1_990
    ends: SagaState = SagaState.COMPLETED

    @property
    def request(self) -> bytes:
        """The request as any Kafka client would publish it: one JSON object, no headers."""
        return encode(
            {
                "order_id": self.order_id,
                "customer_id": self.customer_id,
                "items": [{"sku": self.sku, "quantity": 1}],
                "amount": self.amount,
                "currency": "USD" if self.customer_id == "carol" else "EUR",
            }
        )


_CUSTOMERS = ("alice", "bob", "carol")
_THINGS = (("lamp", 4_900), ("chair", 12_900), ("desk", 34_900), ("book", 1_990))


def _ordinary(first: int, count: int) -> tuple[Order, ...]:
    return tuple(
        Order(f"order-{first + n}", _CUSTOMERS[n % len(_CUSTOMERS)], *_THINGS[n % len(_THINGS)]) for n in range(count)
    )


ORDINARY: Final = _ordinary(101, 8)
DECLINED: Final = Order("order-110", "broke", "chair", 12_900, SagaState.COMPENSATED)
FAILING: Final = Order("order-123", "bob", "desk", 34_900, SagaState.COMPENSATED)
UNANSWERED: Final = Order("order-124", "carol", "lamp", 4_900)
BEHIND_POISON: Final = Order("order-125")
IN_FLIGHT: Final = (*_ordinary(131, 7), Order("order-138", "broke", "desk", 34_900, SagaState.COMPENSATED))
"""One of them is declined, so that a compensation has to survive the crash, too."""

ALL: Final = (*ORDINARY, DECLINED, FAILING, UNANSWERED, BEHIND_POISON, *IN_FLIGHT)


def poison_before(order: Order) -> bytes:
    """A request that was cut off. It has the key of the good one behind it, so that both are in one partition."""
    return order.request[:-20]


FAILING_RECORD: Final = {
    "sagaId": FAILING.order_id,
    "state": "COMPENSATED",
    "stepsExecuted": [1, 2],
    "stepsCompensated": [2, 1],
    "error": SERVICE_DOWN,
}
"""What order-123's record must say in the end."""


def fault_variables() -> dict[str, str]:
    """What the participants are told to do wrong, and only with these orders (see participants/faults.py)."""
    late = ";".join(f"chargePayment:saga={order.order_id}:ms={REPLY_LATE_MS}" for order in IN_FLIGHT)
    return {
        "SAGA_ALLOW_FAULTS": "1",
        "SAGA_FAULT_RAISE": f"createOrder:saga={FAILING.order_id}:text={SERVICE_DOWN}",
        "SAGA_FAULT_LOSE": f"chargePayment:saga={UNANSWERED.order_id}:first=1",
        "SAGA_FAULT_LATE": late,
    }
