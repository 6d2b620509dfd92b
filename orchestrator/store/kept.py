"""Rows that a store keeps in memory, so that a reply is decided without reading its saga again.

What is kept may be behind the store where somebody else writes it. Every change is compared by its version; what
changes nothing must be compared too, or a reply that a row in memory does not want is lost (R66).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import TERMINAL
from kafka_saga.orchestrator.store.port import Batch, Known
from kafka_saga.schemas.ids import SagaRef

KEPT_MAX = 4_000
"""Rows kept in memory: a full admission window several times over, at about 3 KB each."""


class KeptRows:
    """Unfinished sagas as they were read or written last."""

    def __init__(self) -> None:
        self.rows: dict[SagaRef, Known] = {}

    def versions(self, unchanged: Sequence[Saga]) -> dict[int, int]:
        """By key, the versions of those that were decided from memory and left as they are."""
        return {saga.row: saga.version for saga in unchanged if saga.ref in self.rows}

    def read(self, found: Iterable[Known]) -> None:
        """These were read just now."""
        for known in found:
            self._keep(known.saga, known.request_hash)
        self._limit()

    def written(self, batch: Batch, keys: Mapping[SagaRef, int]) -> None:
        """A batch was committed; `keys` are those of its new sagas."""
        for started in batch.started:
            self._keep(started.saga.at_row(keys[started.saga.ref]), started.request_hash)
        for change in batch.changed:
            known = self.rows.pop(change.saga.ref, None)
            if known is not None:
                self._keep(change.saga, known.request_hash)
        self._limit()

    def drop(self, keys: Collection[int] | None) -> None:
        """Forget these; all of them where it is None."""
        if keys is None:
            self.rows.clear()
        elif keys:
            self.rows = {ref: known for ref, known in self.rows.items() if known.saga.row not in keys}

    def clear(self) -> None:
        """Forget them all."""
        self.rows.clear()

    def _keep(self, saga: Saga, request_hash: bytes) -> None:
        if saga.state not in TERMINAL:
            self.rows[saga.ref] = Known(saga, request_hash)

    def _limit(self) -> None:
        if len(self.rows) > KEPT_MAX:
            for ref in list(islice(self.rows, len(self.rows) - KEPT_MAX)):
                del self.rows[ref]
