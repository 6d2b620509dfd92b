"""Which sagas have changed since the last look: a few short reads beside their owner, however many there are.

Unfinished sagas are remembered with how far each has come; of those that ended between two looks the keys say which
they were.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.limits import SAGAS_FOLLOWED_MAX
from kafka_saga.runtime.live_limits import CHANGES_PER_LOOK_MAX
from kafka_saga.schemas.ids import SagaRef


@dataclass(frozen=True, slots=True)
class Look:
    """What has changed.

    Attributes:
        sagas: as they are now, newest first.
        left_out: how many more have changed.
        marks: how far those have come that were asked for by name.

    """

    sagas: Sequence[Saga]
    left_out: int
    marks: dict[SagaRef, int]


@dataclass(slots=True)
class Changes:
    """Follows a store from the first look on; that one tells nothing of what was before."""

    _open: dict[int, int] | None = None
    _next_key: int = 0

    async def look(self, reader: StoreReader, named: Collection[SagaRef] = ()) -> Look:
        """What has changed since the last look; `named` sagas are told of however old they are."""
        end = await reader.next_key()  # first: whatever is accepted later belongs to the next look
        still_open = await reader.open_marks(SAGAS_FOLLOWED_MAX)
        marks = await reader.marks_of(named) if named else {}
        before, first = self._open, self._next_key
        self._open, self._next_key = still_open, max(first, end)
        if before is None:
            return Look((), 0, marks)
        changed = {key for key, mark in still_open.items() if before.get(key) != mark and key < first}
        changed |= before.keys() - still_open.keys()
        total = len(changed) + max(0, end - first)
        if not total:
            return Look((), 0, marks)
        sagas = await reader.changed(changed, first, end, CHANGES_PER_LOOK_MAX)
        return Look(sagas, max(0, total - len(sagas)) if len(sagas) == CHANGES_PER_LOOK_MAX else 0, marks)
