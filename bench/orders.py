"""The orders that are asked for, and how their sagas must end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

_CUSTOMERS = ("alice", "bob", "c-1", "c-2")
_ITEMS = (("lamp", 4_990), ("chair", 12_900), ("desk", 34_900), ("book", 1_490))
_SCATTER = 0x9E3779B1  # odd, so that n -> n * it is one to one in 32 bits: ids that come in no order


@dataclass(frozen=True, slots=True)
class Mix:
    """Of a hundred orders, how many are refused where; the others succeed.

    Attributes:
        sold_out: refused at step 1: nothing was executed, nothing is undone.
        declined: refused at step 2: step 1 was executed and is undone.

    """

    name: str
    sold_out: int = 0
    declined: int = 0

    def refusal(self, number: int) -> str | None:
        """What order `number` is refused for, or None. Spread evenly."""
        place = number * 37 % 100
        if place < self.sold_out:
            return "sold_out"
        return "declined" if place < self.sold_out + self.declined else None

    def compensated(self, count: int, first: int = 0) -> int:
        """How many of `count` orders are compensated."""
        return sum(self.refusal(number) is not None for number in range(first, first + count))


SUCCEED = Mix("all succeed")
COMPENSATED = Mix("20 % compensated", sold_out=10, declined=10)
"""Half of them at step 1, half at step 2, so that their last executed steps differ. Step 3 refuses no order in the
shipped services."""

MIXES = {"succeed": SUCCEED, "compensated": COMPENSATED}


def order_id(run: str, number: int) -> str:
    """Ids come in random order, as most shops' do: it is what the stores' indexes have to bear."""
    return f"{run}-{number * _SCATTER % 2**32:08x}"


def requests(run: str, count: int, mix: Mix, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of `count` requests: bare JSON, as `saga submit` and any Kafka client send them."""
    for number in range(first, first + count):
        saga_id = order_id(run, number)
        sku, price = _ITEMS[number % len(_ITEMS)]
        quantity = 1 + number % 3
        refusal = mix.refusal(number)
        body = {
            "order_id": saga_id,
            "customer_id": "broke" if refusal == "declined" else _CUSTOMERS[number // 4 % len(_CUSTOMERS)],
            "items": [{"sku": "sold-out" if refusal == "sold_out" else sku, "quantity": quantity}],
            "amount": price * quantity,
            "currency": "EUR",
        }
        yield saga_id.encode(), orjson.dumps(body)
