"""Who asks for orders in a simulated world, and who forges replies."""

from __future__ import annotations

import asyncio
import json
import random  # noqa: TID251 -- for its type only: chance is handed in
from typing import TYPE_CHECKING

from kafka_saga.messaging.records import Message

if TYPE_CHECKING:
    from tests.simulation.world import World


async def customers(world: World) -> None:
    """Orders, some twice, some conflicting; poison; and replies that nobody sent."""
    swarm, chance, clock = world.swarm, world.chance, world.clock
    requests = world.topics.requests("order")
    for number in range(swarm.orders):
        await clock.sleep(chance.randint(0, max(1, 2 * swarm.spread_ms // swarm.orders)))
        order_id = f"o-{number}"
        body = _order(order_id, chance)
        world.orders[order_id] = body
        world.broker.append(Message(requests, order_id.encode(), body))
        if chance.random() < swarm.duplicate_requests:
            world.broker.append(Message(requests, order_id.encode(), body))
        if chance.random() < swarm.duplicate_requests / 2:
            world.conflicts += 1
            world.broker.append(Message(requests, order_id.encode(), _order(order_id, chance, amount=7)))
        if world.poison < swarm.poison:
            world.poison += 1
            world.broker.append(Message(requests, b"x", chance.choice([b"{", b"[]", b"null", b"\xff", b'{"a":1}'])))
        if world.forged < swarm.forged:
            world.forged += 1
            for delay_s in (0.01, 0.1, 0.5, 2, 6):  # one of them meets the step while it waits
                asyncio.get_running_loop().call_later(delay_s, world.broker.append, _forged(world, order_id))


def _order(order_id: str, chance: random.Random, amount: int = 0) -> bytes:
    sku = "rare" if chance.random() < 0.1 else "book"
    customer = "poor" if chance.random() < 0.1 else "alice"
    return json.dumps(
        {
            "order_id": order_id,
            "customer_id": customer,
            "items": [{"sku": "book", "quantity": 1}, {"sku": sku, "quantity": chance.randint(1, 3)}],
            "amount": amount or chance.randint(100, 900),
            "currency": "EUR",
        }
    ).encode()


def _forged(world: World, order_id: str) -> Message:
    """A reply of a service for another service's step, on its own topic: it must count for nothing (R11)."""
    headers = (
        ("ce_causationid", f"order/{order_id}/process_payment/forward/1".encode()),
        ("ce_sagaoutcome", world.chance.choice([b"success", b"failure", b"retry"])),
    )
    return Message(world.topics.replies_of("inventory"), order_id.encode(), b'{"charge_id": "forged"}', headers)
