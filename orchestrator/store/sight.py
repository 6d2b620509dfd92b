"""What of the sagas in a store people are shown: a reader asks it of everything that it hands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.store.act_rows import ActRow


class Sight(Protocol):
    """Hides what is sensitive (docs/security.md)."""

    def hides(self, saga_type: str) -> bool:
        """Whether anything of that type's sagas may be hidden."""
        ...

    def hides_field(self, saga_type: str | None, path: str) -> bool:
        """Whether a field of that type's requests is hidden, so that nobody finds it out by looking for values."""
        ...

    def saga(self, saga: Saga) -> Saga:
        """A saga as it is shown."""
        ...

    def secrets(self, saga: Saga) -> frozenset[str]:
        """What is hidden of `saga`, which is whole, to be found again in sentences about it."""
        ...

    def log(self, saga: Saga, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """The log of `saga`, which is whole, as it is shown."""
        ...

    def act(self, row: ActRow) -> ActRow:
        """An act as it is shown."""
        ...


class Whole:
    """Everything as it is: for the machinery, and for whoever asked for it and was noted (`operations.acts`)."""

    def hides(self, _saga_type: str) -> bool:
        return False

    def hides_field(self, _saga_type: str | None, _path: str) -> bool:
        return False

    def saga(self, saga: Saga) -> Saga:
        return saga

    def secrets(self, _saga: Saga) -> frozenset[str]:
        return frozenset()

    def log(self, _saga: Saga, entries: Sequence[LogEntry]) -> list[LogEntry]:
        return list(entries)

    def act(self, row: ActRow) -> ActRow:
        return row


WHOLE = Whole()
