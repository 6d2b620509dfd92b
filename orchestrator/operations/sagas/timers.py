"""What happens next by itself: deadlines of commands that wait for a reply, and the ends of backoffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.operations.sagas.explaining import explain
from kafka_saga.orchestrator.operations.sagas.paging import read_cursor, write_cursor
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Timer:
    """What a saga does by itself, and when.

    Attributes:
        saga: as it is now.
        at: when, in milliseconds of the store's clock.
        kind: `deadline` of a command that waits for its reply, or `retry` at the end of a backoff.
        step: the step's name; None where no code has the definition.
        sentence: what it waits for.

    """

    saga: Saga
    at: int
    kind: str
    step: str | None
    sentence: str

    def as_json(self, now: int) -> dict[str, Any]:
        """For programs."""
        saga = self.saga
        return {
            "at": rfc3339(self.at),
            "dueInMs": self.at - now,
            "kind": self.kind,
            "sagaId": saga.ref.saga_id,
            "sagaType": saga.ref.saga_type,
            "state": saga.state.value,
            "step": self.step,
            "sentence": self.sentence,
        }


async def list_timers(
    reader: StoreReader, registry: Registry, *, limit: int, cursor: str | None, saga_type: str | None, now: int
) -> tuple[Sequence[Timer], str | None]:
    """The timers that are set, the soonest first, and the cursor of the next page.

    Raises:
        UsageError: the cursor is none of ours.

    """
    after = (0, 0)
    if cursor is not None:
        at, row = read_cursor(cursor, 2)
        after = at, row
    sagas = await reader.timers(limit, after, saga_type)
    found = [timer_of(registry, saga, now) for saga in sagas]
    more = write_cursor(found[-1].at, sagas[-1].row) if len(sagas) == limit else None
    return found, more


def timer_of(registry: Registry, saga: Saga, now: int) -> Timer:
    """The timer of a saga that has one."""
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    index = saga.active_index
    retries = index is not None and saga.steps[index].retry_at is not None
    step = None if definition is None or index is None else definition.steps[index].name
    assert saga.wake_at is not None, "it was found by its timer"
    return Timer(saga, saga.wake_at, "retry" if retries else "deadline", step, explain(definition, saga, now))
