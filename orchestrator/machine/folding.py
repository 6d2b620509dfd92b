"""The log folded from zero gives the row (R28, I11): for audits, tests, rebuilding a damaged row, and for its story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Decision, LogEntry
from kafka_saga.orchestrator.machine.events import Event, from_detail
from kafka_saga.orchestrator.machine.saga import Hold, Saga
from kafka_saga.orchestrator.machine.transitions import advance


class Replayed(NamedTuple):
    """One transition as it was: what happened, its rows, and what was decided."""

    rows: tuple[LogEntry, ...]
    event: Event
    before: Saga
    decision: Decision


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
    for replayed in replay(definition, start, log):
        saga = replayed.decision.saga
    return saga


def replay(definition: Definition, start: Saga, log: Iterable[LogEntry]) -> Iterator[Replayed]:
    """Every transition of the log, decided once more: what was sent then comes out again.

    Raises:
        ValueError: the log tells of an event that the machine does not accept there.

    """
    saga = start
    for rows in transitions(log):
        entry = rows[0]
        holds = [Hold(**row.detail["held"]) for row in rows if "held" in row.detail]
        pauses = {hold.scope: hold for hold in holds}
        event = from_detail(entry.detail)
        result = advance(definition, saga, event, entry.at, pauses)
        if not isinstance(result, Decision):
            raise ValueError(f"{saga.ref}: log row {entry.seq} cannot be replayed: {result}")  # noqa: TRY004 -- data
        yield Replayed(rows, event, saga, result)
        saga = result.saga


def transitions(log: Iterable[LogEntry]) -> Iterator[tuple[LogEntry, ...]]:
    """The rows of each transition: one with the event, and what followed from it."""
    rows: list[LogEntry] = []
    for entry in log:
        if "event" in entry.detail and rows:
            yield tuple(rows)
            rows = []
        rows.append(entry)
    if rows:
        yield tuple(rows)
