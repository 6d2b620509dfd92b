"""Whether operators' acts may have come (R74): the server says so when one is queued, and it is asked now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg import Connection

CHANNEL = "saga_acts"

ASKED_MS = 1_000
"""A notification may be lost with its connection, and a pooler may deliver none: then an act waits for a second."""


class Bell:
    """Rung by a notification. While nobody listens it is always time to ask."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._asked_at = 0
        self._rung = True

    async def listen(self, connection: Connection) -> None:
        """From now on notifications come on `connection`."""
        await connection.add_listener(CHANNEL, self.ring)
        self._connection = connection
        self._rung = True

    def ring(self, *_notification: object) -> None:
        """Something may have come."""
        self._rung = True

    def is_time(self, now: int) -> bool:
        """Whether to ask."""
        listens = self._connection is not None and not self._connection.is_closed()
        return self._rung or not listens or now - self._asked_at >= ASKED_MS

    def asked(self, now: int, *, more: bool) -> None:
        """An answer has come; `more` where it may not have been all."""
        self._asked_at, self._rung = now, more
