"""Timers that replicas share: the store is asked again for the next one, however often they are looked at meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.shared_timers import LOOK_INTERVAL_MS, SharedTimers
from kafka_saga.orchestrator.store.members import Horizon, Lanes
from kafka_saga.orchestrator.store.port import Counted
from kafka_saga.schemas.ids import SagaRef

TOPIC = "inventory.replies"
REF = SagaRef("order", "order-1")
POLL_MS = 20
"""How often an idle engine comes by while a timer is due."""


class Members:
    """The store: one saga, whose timer is at `wake_at`; everything is read up to `read_at`."""

    def __init__(self, wake_at: int, read_at: int) -> None:
        self.wake_at, self.read_at, self.asked = wake_at, read_at, 0

    async def horizon(self) -> Horizon:
        self.asked += 1
        drained = {TopicPartition(TOPIC, 0): self.read_at}
        return Horizon(self.wake_at, {TOPIC: Counted(1, self.read_at)}, drained, None, 0, {})

    async def due(self, now: int, _limit: int) -> list[SagaRef]:
        return [REF] if self.wake_at <= now else []


def timers_of(members: Any) -> SharedTimers:
    async def step(now: int) -> None:
        members.read_at = now  # read at once, and written down

    return SharedTimers(
        store=members,
        members=members,
        replies=SimpleNamespace(owned=frozenset({TopicPartition(TOPIC, 0)}), counts={TOPIC: 1}),  # type: ignore[arg-type]
        drain=SimpleNamespace(reached_at=members.read_at, step=step, rest=lambda _now: None),  # type: ignore[arg-type]
        intake=SimpleNamespace(reply_topics=(TOPIC,)),  # type: ignore[arg-type]
        publisher=SimpleNamespace(held_topics=frozenset()),  # type: ignore[arg-type]
        outages=SimpleNamespace(ended_at=0),  # type: ignore[arg-type]
        lanes=lambda: Lanes(1, frozenset({0})),
    )


async def test_a_timer_that_was_set_anew_is_found_though_the_one_before_is_looked_for_all_the_time() -> None:
    """A backoff ended, and the next attempt failed at once: nothing else happens on the store."""
    members = Members(wake_at=10_000, read_at=10_010)
    timers = timers_of(members)
    assert await timers.due(10_010) == [REF]
    members.wake_at = 12_000  # it fired, and the saga waits again

    found, at = [], 10_010
    while not found and at < 12_000 + 2 * LOOK_INTERVAL_MS:
        at += POLL_MS
        found = await timers.due(at)

    assert timers.next_wake_at == 12_000
    assert found == [REF]
    assert members.asked < 3 + (at - 10_000) // (LOOK_INTERVAL_MS // 2), "and no more often than it may be"
