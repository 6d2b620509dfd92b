"""Which sagas have ended since the last look: a few short reads beside their owner, however many have ended before."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka_saga.orchestrator.store.reader import Ended, StoreReader
from kafka_saga.runtime.limits import SAGAS_FOLLOWED_MAX


@dataclass(slots=True)
class Endings:
    """Follows a store from the first look on; what had ended before is not told."""

    reader: StoreReader
    _open: set[int] = field(default_factory=set)
    _next_key: int | None = None

    async def look(self) -> list[Ended]:
        """The sagas that ended, or were parked, since the last look, in that order."""
        end = await self.reader.next_key()  # first: whatever is accepted later belongs to the next look
        still_open = await self.reader.open_keys(SAGAS_FOLLOWED_MAX)
        first = end if self._next_key is None else self._next_key
        found = await self.reader.ended_among(self._open - still_open, first, end)
        self._open, self._next_key = still_open, max(first, end)
        return [one for one in found if one.key not in still_open]  # it ended between two reads: told next time
