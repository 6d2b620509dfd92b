"""A line for each saga that ends, among the lines of the processes; a sum where they are too many to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kafka_saga.orchestrator.operations.sagas.endings import Endings
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import Ended, StoreReader
from kafka_saga.orchestrator.store.sight import Sight
from kafka_saga.orchestrator.supervisor.screen import ProcessScreen
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX
from kafka_saga.runtime.wording import counted, duration, plain

LOOK_MS = 1_000
LINES_PER_LOOK_MAX = 10
"""Nobody reads more in a second."""

_STYLES = {"COMPLETED": "green", "COMPENSATED": "yellow", "PARKED": "bold red"}


async def tell_endings(store: StoreLocation, sight: Sight, screen: ProcessScreen, clock: Clock) -> None:
    """Tell of each saga that ends from now on, until cancelled; say so where the store cannot be read any more."""
    try:
        reader = await StoreReader.open(store, sight)
        try:
            endings = Endings(reader)
            while True:
                for text, style, record in lines_of(await endings.look()):
                    screen.tell(text, style, record)
                await clock.sleep(LOOK_MS)
        finally:
            await reader.close()
    except SagaError as error:
        screen.say(f"how sagas end is not told any more: {error}", "yellow")


def lines_of(ended: Sequence[Ended]) -> list[tuple[str, str, dict[str, Any]]]:
    """What to print of the sagas that ended within one look, its style, and the same for programs.

    Beyond `LINES_PER_LOOK_MAX` one line sums up; parked ones, which need a person, keep theirs.
    """
    if len(ended) <= LINES_PER_LOOK_MAX:
        return [_line(one) for one in ended]
    parked = [one for one in ended if one.state == "PARKED"]
    return [_sum(ended), *(_line(one) for one in parked[:LINES_PER_LOOK_MAX])]


def _line(one: Ended) -> tuple[str, str, dict[str, Any]]:
    error = "" if one.error is None else f"  {plain(one.error[:ERROR_TEXT_LENGTH_MAX])}"
    text = f"{one.saga_id}  {one.saga_type}  {one.state}  {duration(one.took_ms)}{error}"
    record = {"sagaId": one.saga_id, "sagaType": one.saga_type, "state": one.state, "error": one.error}
    return text, _STYLES[one.state], {"event": "saga.ended", **record, "durationMs": one.took_ms}


def _sum(ended: Sequence[Ended]) -> tuple[str, str, dict[str, Any]]:
    counts = Counter(one.state for one in ended)
    took = sorted(one.took_ms for one in ended)
    middle, slow = took[len(took) // 2], took[len(took) * 99 // 100]
    states = ", ".join(f"{counts[state]:,} {state}" for state in _STYLES if counts[state])
    text = (
        f"{counted(len(ended), 'saga')} ended: {states}; half within {duration(middle)}, 99 % within {duration(slow)}"
    )
    return text, "", {"event": "sagas.ended", **counts, "p50Ms": middle, "p99Ms": slow}
