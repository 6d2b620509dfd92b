"""How many messages of ours wait in the outbox: all replicas' together must not fill the store (R73)."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka_saga.orchestrator.store.port import Batch, OutboxId


@dataclass(slots=True)
class Owed:
    """Rows of the outbox that are ours to publish, and how many messages each has."""

    rows: dict[OutboxId, int] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """How many in all."""
        return sum(self.rows.values())

    def after(self, batch: Batch, row: OutboxId) -> Owed:
        """What is owed once `batch` is written, whose messages are in `row`."""
        if not (batch.messages or batch.published or batch.rewritten):
            return self
        gone = set(batch.published)
        rows = {known: count for known, count in self.rows.items() if known not in gone}
        rows |= {known: len(left) for known, left in batch.rewritten.items()}
        if batch.messages:
            rows[row] = len(batch.messages)
        return Owed(rows)
