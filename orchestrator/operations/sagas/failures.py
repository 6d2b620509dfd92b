"""Failures, one line for each: the same words, the same step, the same service."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from kafka_saga.orchestrator.machine.states import ParkReason
from kafka_saga.orchestrator.operations.sagas.parked import FIRST_WAYS
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.looking import Failure, open_failures, undone_failures
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.limits import COUNTED_ROWS_MAX, PAGE_WINDOW_ROWS
from kafka_saga.runtime.live_limits import FAILURE_LINES_MAX


@dataclass(frozen=True, slots=True)
class FailureLine:
    """What failed in the same words at the same step.

    Attributes:
        error: the words, masked as people see them; None where nobody noted any.
        step: its name; None where it is about no step, or no code has the definition.
        number: the step's, from 1.
        service: that was asked; None where it is not known.
        parked, retrying, undone: how many sagas need a person because of it, wait to be tried again, were undone.
        first_at, last_at: when the first and the last of them changed last.
        example: a saga of them.

    """

    saga_type: str
    step: str | None
    number: int
    service: str | None
    undoing: bool
    error: str | None
    cause: str | None
    parked: int
    retrying: int
    undone: int
    first_at: int
    last_at: int
    example: str

    @property
    def words(self) -> str:
        """What is shown of it."""
        return self.error or "no reason is known"

    @property
    def total(self) -> int:
        """How many sagas."""
        return self.parked + self.retrying + self.undone

    @property
    def advice(self) -> str | None:
        """What helps those that need a person, before they are tried again; None where a retry is no help."""
        reason = next((one for one in ParkReason if one.value == self.cause), None)
        if reason is None or reason not in FIRST_WAYS:
            return None
        first, _, _ = FIRST_WAYS[reason].partition(", then `")
        return first.format(service=self.service or "the service", saga_id=self.example)


class FailureList(NamedTuple):
    """What holds sagas, or held them.

    Attributes:
        lines: what needs a person first, then what is newest.
        others: how many sagas failed in words that are in no line: there are too many different ones.

    """

    lines: list[FailureLine]
    others: int


async def list_failures(reader: StoreReader, registry: Registry, *, undone: bool = True) -> FailureList:
    """What holds sagas now, and why the newest were undone.

    Args:
        reader: the store.
        registry: names steps and services.
        undone: also look at the newest `PAGE_WINDOW_ROWS` sagas for those that were undone.

    """
    found, others = await open_failures(reader, COUNTED_ROWS_MAX)
    if undone:
        end = await reader.next_key()
        more = await undone_failures(reader, max(0, end - PAGE_WINDOW_ROWS), end)
        found, others = found + more.found, others + more.others
    merged: dict[tuple[object, ...], FailureLine] = {}
    for failure in found:
        line = _line(registry, failure)
        key = (line.saga_type, line.step, line.number, line.undoing, line.error)
        known = merged.get(key)
        merged[key] = line if known is None else _merged(known, line)
    lines = sorted(merged.values(), key=lambda line: (-line.parked, -line.retrying, -line.last_at))
    others += sum(line.total for line in lines[FAILURE_LINES_MAX:])
    return FailureList(lines[:FAILURE_LINES_MAX], others)


def _line(registry: Registry, failure: Failure) -> FailureLine:
    definition = registry.get(failure.saga_type, failure.version)
    index = failure.step - 1
    step = None if definition is None or not 0 <= index < len(definition.steps) else definition.steps[index]
    numbers = {"parked": 0, "retrying": 0, "undone": 0, failure.kind: failure.number}
    return FailureLine(
        saga_type=failure.saga_type,
        step=None if step is None else step.name,
        number=failure.step,
        service=None if step is None else step.service,
        undoing=failure.undoing,
        error=failure.error,
        cause=failure.cause,
        first_at=failure.first_at,
        last_at=failure.last_at,
        example=failure.example,
        **numbers,
    )


def _merged(one: FailureLine, other: FailureLine) -> FailureLine:
    return replace(
        one,
        cause=one.cause or other.cause,
        parked=one.parked + other.parked,
        retrying=one.retrying + other.retrying,
        undone=one.undone + other.undone,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )
