"""The shipped example: the three services of the order saga, each with its own tables in its own database file."""

from __future__ import annotations

from kafka_saga.participants.services import inventory, orders, payment
from kafka_saga.participants.services.service import Seed, SeedAccount, Service, read_seed

SERVICES: dict[str, Service] = {
    service.participant.name: service for service in (inventory.SERVICE, payment.SERVICE, orders.SERVICE)
}

__all__ = ["SERVICES", "Seed", "SeedAccount", "Service", "read_seed"]
