"""I10: every effect is of a saga that was ordered; every reply that counted is a record, and answers the command."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.sagas.order import order_saga
from tests.simulation.checkers.evidence import SERVICES, STEPS, Evidence


def check(evidence: Evidence) -> Iterator[str]:
    for saga_id in evidence.sagas.keys() - evidence.world.orders.keys():
        yield f"I10: {saga_id} was never ordered"
    for service in SERVICES:
        for saga_id in evidence.effects(service)[0].keys() - evidence.sagas.keys():
            yield f"I10: {service} did something for {saga_id}, which is no saga"
    for saga_id, state in evidence.store.execute("SELECT saga_id, state FROM sagas WHERE wake_at IS NOT NULL"):
        if state not in ("RUNNING", "COMPENSATING"):
            yield f"I10: {saga_id} is {state}, and has a timer"
    yield from _replies(evidence)


def _replies(evidence: Evidence) -> Iterator[str]:
    stored = {
        (record.topic, record.partition, record.offset, dict(record.headers)["ce_causationid"].decode())
        for service in SERVICES
        for record in evidence.replies(service)
    }
    for saga_id, log in evidence.logs.items():
        for entry in log:
            origin = entry.detail.get("origin")
            if entry.detail.get("event") != "Replied" or origin is None:
                continue
            step = entry.detail["step"]
            command_id = f"order/{saga_id}/{step}/{entry.detail['phase']}/{entry.detail['epoch']}"
            topic = evidence.world.topics.replies_of(order_saga.steps[STEPS[step]].service)
            place = (origin["topic"], origin["partition"], origin["offset"], command_id)
            if origin["topic"] != topic or place not in stored:
                yield f"I10: {saga_id} took the reply {place}, which answers no command of this step"
