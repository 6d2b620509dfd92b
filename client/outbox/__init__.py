"""Starting sagas inside the caller's own transaction: a row beside the order's, and a relay that publishes it.

    from kafka_saga.client.outbox import Outbox, OutboxRelay

    async with sessions.begin() as session:
        session.add(Order(id="order-1", …))
        await outbox.start(session, OrderRequested(order_id="order-1", …))

The order and its saga are written together or not at all. docs/client.md says the rest.
"""

from __future__ import annotations

from kafka_saga.client.outbox.outbox import Outbox
from kafka_saga.client.outbox.relay import OutboxRelay
from kafka_saga.client.outbox.table import TABLE, ddl

__all__ = ["TABLE", "Outbox", "OutboxRelay", "ddl"]
