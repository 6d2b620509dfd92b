"""What the engine needs of whoever reads for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.survey import Extent


class Reader(Protocol):
    """A consumer of the engine's topics: of all partitions, or of those that its group gives it."""

    async def start(self, positions: Mapping[TopicPartition, int], /) -> None: ...
    async def stop(self) -> None: ...
    async def poll(self, timeout_ms: int, records_max: int) -> list[Record]: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    def pause(self, topics: Iterable[str]) -> None: ...
    def resume(self, topics: Iterable[str]) -> None: ...
    def take_resets(self) -> tuple[Reset, ...]: ...
    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None: ...
    async def extents(self, topics: Iterable[str]) -> Mapping[TopicPartition, Extent]: ...
    async def positions(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...


class GroupReader(Reader, Protocol):
    """A consumer that shares its topics with others of its group; it tells its owner of partitions inside `poll`."""

    def share(self, members: int) -> None:
        """So many read for the group."""
        ...

    async def leave(self) -> None:
        """Give our partitions to the others at once."""
        ...

    async def rejoin(self) -> None:
        """Take part again.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        ...
