"""What goes out and what comes in: plain values that the rest of the system passes around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class TopicPartition(NamedTuple):
    """One partition of one topic; the key of positions and offsets."""

    topic: str
    partition: int


class Message(NamedTuple):
    """One message to publish. The key decides the partition; a message without a key may go to any."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Record(Protocol):
    """One message as read from a topic. aiokafka's `ConsumerRecord` is one; so is any fake with these fields."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970, set by the producer or the broker. Never a clock of ours (R27)."""
        ...
