"""What a rebalance changes, kept from the task in which aiokafka tells it until the owner's next poll."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime import limits


class Changes(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """What aiokafka tells in its own task, kept for the task that polls."""

    def __init__(self, consumer: AIOKafkaConsumer | None) -> None:
        self._consumer = consumer
        self.revoked = asyncio.Event()
        """Set while the owner is to let go of its partitions."""
        self.assigned: frozenset[TopicPartition] | None = None
        """Ours, and not taken up yet; they bring nothing until then."""
        self._let_go = asyncio.Event()

    @property
    def wait(self) -> bool:
        """Whether the owner has not heard of all that happened."""
        return self.revoked.is_set() or self.assigned is not None

    def put_back(self, assigned: frozenset[TopicPartition]) -> None:
        """These could not be taken up yet."""
        if self.assigned is None and not self.revoked.is_set():
            self.assigned = assigned

    def let_go(self) -> None:
        """The owner has finished: the rebalance goes on."""
        self.revoked.clear()
        self._let_go.set()

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        self.assigned = None
        if not revoked:
            return
        self._let_go.clear()
        self.revoked.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._let_go.wait(), limits.REVOKE_TIMEOUT_MS / 1000)

    def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        assert self._consumer is not None, "nobody subscribes without one"
        for tp in assigned:
            self._consumer.seek(tp, 0)  # any position of ours keeps aiokafka from looking for one of its own
            self._consumer.pause(tp)
        self.assigned = frozenset(TopicPartition(*tp) for tp in assigned)
