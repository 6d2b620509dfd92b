"""Which sagas an operator wants to see."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState

KEY_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Filter:
    """What must be true of a saga to be listed.

    Attributes:
        states: it is in one of these; none means any.
        saga_type: it is of this type.
        started_from, started_before: when it was accepted, milliseconds of the store's clock.
        error: part of its error's text, whatever the case.
        held: it is held, whatever by.
        before_row: older than the saga with this row, to read on where a list ended.
        limit: how many, newest first.

    """

    states: frozenset[SagaState] = frozenset()
    saga_type: str | None = None
    started_from: int | None = None
    started_before: int | None = None
    error: str | None = None
    held: bool = False
    before_row: int = KEY_MAX
    limit: int = 20

    @property
    def wanted_states(self) -> frozenset[SagaState]:
        return self.states or frozenset(SagaState)

    @property
    def is_unfinished_only(self) -> bool:
        """Whether finished sagas need not be looked at, which there may be millions of."""
        return self.held or not self.wanted_states & TERMINAL
