"""Rows of the outbox, and the databases that a relay takes them from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol


class OutboxRow(NamedTuple):
    """A request that waits to be published."""

    seq: int
    row_id: str
    saga_type: str
    saga_id: str
    message_type: str
    payload: str

    @property
    def saga(self) -> str:
        """The saga that it asks for: no other of its type is called so, and no type."""
        return f"{self.saga_type}/{self.saga_id}"


Publish = Callable[[Sequence[OutboxRow]], Awaitable[Sequence[OutboxRow]]]
"""Publishes rows in their order; those that Kafka has then."""


class OutboxDatabase(Protocol):
    """Where the table is."""

    async def open(self) -> None:
        """Connect, and look whether the table is there.

        Raises:
            StoreUnavailableError: the server does not answer, or somebody else relays this file.
            StoreRefusedError: there is no such table.

        """
        ...

    async def relay(self, publish: Publish, without: Collection[str], rows_max: int) -> int:
        """Publish the oldest rows that nobody else has in hand, and delete what Kafka has; how many were found.

        Args:
            publish: publishes them.
            without: what is left where it is: saga types (`order`), and sagas (`order/o-1`).
            rows_max: at most so many.

        """
        ...

    async def wait(self, timeout_ms: int) -> None:
        """Return when there may be new rows, and after `timeout_ms` at the latest."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...
