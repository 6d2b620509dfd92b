"""Orders that look like a shop's, for trying the system out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_CUSTOMERS = ("alice", "bob", "c-1", "c-2")
_ITEMS = (("lamp", 4_990), ("chair", 12_900), ("desk", 34_900), ("book", 1_490))
DECLINED_CUSTOMER = "broke"


def sample_orders(count: int, *, run: str, declined_percent: int = 0) -> Iterator[dict[str, Any]]:
    """`count` order requests whose ids begin with `run`; of every hundred some have a card that is declined."""
    for number in range(1, count + 1):
        sku, price = _ITEMS[number % len(_ITEMS)]
        quantity = 1 + number % 3
        # Spread evenly, so that few orders show it too.
        declined = number * declined_percent // 100 != (number - 1) * declined_percent // 100
        yield {
            "order_id": f"{run}-{number:0{len(str(count))}d}",
            "customer_id": DECLINED_CUSTOMER if declined else _CUSTOMERS[number % len(_CUSTOMERS)],
            "items": [{"sku": sku, "quantity": quantity}],
            "amount": price * quantity,
            "currency": "EUR",
        }
