"""Starting sagas and learning how they ended, from any service: no store, no command line.

    from kafka_saga.client import SagaClient

    async with SagaClient(bootstrap_servers="localhost:9092", types=[order_saga]) as sagas:
        outcome = await sagas.run(OrderRequested(order_id="order-1", …), timeout_ms=10_000)

What Kafka needs is imported when a client connects. docs/client.md says the rest.
"""

from __future__ import annotations

from kafka_saga.client.client import SagaClient
from kafka_saga.client.errors import OutcomeTimeoutError, RequestRefusedError
from kafka_saga.client.events import EventPosition, SagaEvent
from kafka_saga.client.outcome import Outcome
from kafka_saga.client.port import EventStream, Sagas
from kafka_saga.client.types import SagaType, Startable
from kafka_saga.schemas.ids import SagaRef

__all__ = [
    "EventPosition",
    "EventStream",
    "Outcome",
    "OutcomeTimeoutError",
    "RequestRefusedError",
    "SagaClient",
    "SagaEvent",
    "SagaRef",
    "SagaType",
    "Sagas",
    "Startable",
]
