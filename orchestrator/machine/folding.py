"""The log folded from zero gives the row (R28, I11): for audits, tests, and rebuilding a damaged row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Decision, LogEntry
from kafka_saga.orchestrator.machine.events import from_detail
from kafka_saga.orchestrator.machine.saga import Hold, Saga
from kafka_saga.orchestrator.machine.transitions import advance


def fold(definition: Definition, start: Saga, log: Iterable[LogEntry]) -> Saga:
    """The saga that its log tells of.

    Args:
        definition: the version that the saga is pinned to.
        start: the saga as accepted, PENDING.
        log: its rows in order; those with an event are replayed, the others follow from them.

    Raises:
        ValueError: the log tells of an event that the machine does not accept there.

    """
    saga = start
    for entry, *following in _transitions(log):
        holds = [Hold(**row.detail["held"]) for row in (entry, *following) if "held" in row.detail]
        pauses = {hold.scope: hold for hold in holds}
        result = advance(definition, saga, from_detail(entry.detail), entry.at, pauses)
        if not isinstance(result, Decision):
            raise ValueError(f"{saga.ref}: log row {entry.seq} cannot be replayed: {result}")  # noqa: TRY004 -- data
        saga = result.saga
    return saga


def _transitions(log: Iterable[LogEntry]) -> Iterator[list[LogEntry]]:
    """The rows of each transition: one with the event, and what followed from it."""
    rows: list[LogEntry] = []
    for entry in log:
        if "event" in entry.detail and rows:
            yield rows
            rows = []
        rows.append(entry)
    if rows:
        yield rows
