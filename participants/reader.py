"""What a worker needs of whoever reads for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Record, TopicPartition


class CommandConsumer(Protocol):
    """What of `kafka_saga.messaging.consumer.Consumer` is used."""

    async def poll(self, timeout_ms: int, records_max: int) -> Sequence[Record]:
        """What has come; waits up to `timeout_ms` for the first."""
        ...

    def take_resets(self) -> Sequence[Reset]:
        """The positions that had to be given up since the last call."""
        ...

    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Tell lag tools."""
        ...
