"""Which sagas are wanted, as people say it: the same filters for a list and for acts on many."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.states import ParkReason, SagaState
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import is_saga_id


def filter_by(
    *,
    now: int,
    states: frozenset[SagaState] = frozenset(),
    saga_type: str | None = None,
    cause: ParkReason | None = None,
    older_than_ms: int | None = None,
    newer_than_ms: int | None = None,
    error: str | None = None,
    data: str | None = None,
    prefix: str | None = None,
    held: bool = False,
    steps: frozenset[str] | None = None,
    limit: int = 20,
) -> Filter:
    """What the store is asked.

    Args:
        now: what ages are counted back from, in milliseconds.
        states: one of these; any where none is named.
        saga_type: of this type.
        cause: parked for this.
        older_than_ms: started longer ago than, in milliseconds.
        newer_than_ms: started within the last, in milliseconds.
        error: its error contains this.
        data: a field of its request and its value, `customer_id=alice`.
        prefix: its id, or its beginning.
        held: only those that are held.
        steps: where it stands (`paging.steps_named`).
        limit: at most so many.

    Raises:
        UsageError: `data` has no value, or no id begins with `prefix`.

    """
    return Filter(
        states=states,
        saga_type=saga_type,
        started_from=None if newer_than_ms is None else now - newer_than_ms,
        started_before=None if older_than_ms is None else now - older_than_ms,
        error=error,
        held=held,
        cause=None if cause is None else cause.value,
        data=None if data is None else _split(data),
        prefix=None if prefix is None else _checked(prefix),
        steps=steps,
        limit=limit,
    )


def _checked(prefix: str) -> str:
    if not is_saga_id(prefix):
        raise UsageError(f"no saga's id begins with '{prefix}': ids are of letters, digits, and . _ : -")
    return prefix


def _split(text: str) -> tuple[str, str]:
    name, is_there, value = text.partition("=")
    if not is_there:
        raise UsageError(f"'{text}' names a field and no value: write customer_id=alice")
    return name, value
