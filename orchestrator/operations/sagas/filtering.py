"""Which sagas are wanted, as people say it: the same filters for a list and for acts on many."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_saga.orchestrator.machine.states import ParkReason, SagaState
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import is_saga_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What is true of the sagas that are wanted; where nothing is said, anything may be.

    Attributes:
        states: one of these.
        cause: parked for this.
        older_than_ms: started longer ago than, in milliseconds.
        newer_than_ms: started within the last, in milliseconds.
        error: its error contains this.
        data: a field of its request and its value, `customer_id=alice`.
        prefix: its id, or its beginning.
        held: only those that are held.

    """

    states: frozenset[SagaState] = frozenset()
    cause: ParkReason | None = None
    older_than_ms: int | None = None
    newer_than_ms: int | None = None
    error: str | None = None
    data: str | None = None
    prefix: str | None = None
    held: bool = False

    @property
    def narrows(self) -> bool:
        """Whether anything was said."""
        return self != ANY


ANY = Narrowing()


def filter_by(
    said: Narrowing,
    *,
    now: int,
    saga_type: str | None = None,
    steps: frozenset[str] | None = None,
    limit: int = 20,
) -> Filter:
    """What the store is asked.

    Args:
        said: what narrows it.
        now: what ages are counted back from, in milliseconds.
        saga_type: of this type.
        steps: where it stands (`paging.steps_named`).
        limit: at most so many.

    Raises:
        UsageError: `data` has no value, or no id begins with `prefix`.

    """
    newer_than_ms, older_than_ms = said.newer_than_ms, said.older_than_ms
    return Filter(
        states=said.states,
        saga_type=saga_type,
        started_from=None if newer_than_ms is None else now - newer_than_ms,
        started_before=None if older_than_ms is None else now - older_than_ms,
        error=said.error,
        held=said.held,
        cause=None if said.cause is None else said.cause.value,
        data=None if said.data is None else _split(said.data),
        prefix=None if said.prefix is None else _checked(said.prefix),
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
