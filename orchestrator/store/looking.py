"""What screens ask of a store: counts and groups, each a short statement that reads a bounded number of rows (R24)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.act_rows import ActRow, read_row
from kafka_saga.orchestrator.store.listing import MOMENT_MAX
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import AtStep
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.sensitive import MASK, redacted


class Failure(NamedTuple):
    """Sagas of one kind that failed in the same words at the same step.

    Attributes:
        kind: `parked`, `retrying` or `undone`.
        version: of their definition.
        step: its number, from 1; 0 where it is about no step.
        undoing: whether the step was being undone.
        error: the words, as the reader shows them: without what is hidden of the example.
        cause: why they are parked.
        example: one of them.
        first_at, last_at: when the first and the last of them changed last.

    """

    kind: str
    saga_type: str
    version: int
    step: int
    undoing: bool
    error: str
    cause: str | None
    number: int
    example: str
    first_at: int
    last_at: int


class EndedInMinute(NamedTuple):
    """How many sagas ended in one minute, counted from 1970."""

    minute: int
    state: str
    number: int


async def open_failures(reader: StoreReader, rows_max: int) -> list[Failure]:
    """What is parked, and what waits to be tried again; the oldest `rows_max` of each state are looked at."""
    found = await reader.tables.fetch_all("open_failures", (rows_max,))
    return [await _failure(reader, row) for row in found]


async def undone_failures(reader: StoreReader, first: int, end: int) -> list[Failure]:
    """Why sagas were undone, of those accepted from key `first` to before `end`."""
    found = await reader.tables.fetch_all("undone_failures", (first, end))
    return [await _failure(reader, row) for row in found]


async def ended_by_minute(reader: StoreReader, first: int, end: int) -> list[EndedInMinute]:
    """How many of the sagas accepted from key `first` to before `end` ended in which minute."""
    return [EndedInMinute(*row) for row in await reader.tables.fetch_all("ended_by_minute", (first, end))]


async def logs_between(reader: StoreReader, first: int, end: int) -> dict[int, list[LogEntry]]:
    """The step logs of the sagas with keys from `first` to before `end`."""
    found: dict[int, list[LogEntry]] = {}
    for key, *row in await reader.tables.fetch_all("logs_between", (first, end)):
        found.setdefault(key, []).append(rows.read_log(tuple(row)))
    return found


async def versions_between(reader: StoreReader, first: int, end: int) -> dict[int, tuple[str, int]]:
    """Type and version of the sagas with keys from `first` to before `end`."""
    found = await reader.tables.fetch_all("versions_between", (first, end))
    return {key: (saga_type, version) for key, saga_type, version in found}


class WantedActs(NamedTuple):
    """Which acts; None is any.

    Attributes:
        actor: who acted.
        verb: as it is stored.
        outcome: `done`, `unchanged`, `refused`, or `waiting`.

    """

    actor: str | None = None
    verb: str | None = None
    outcome: str | None = None


async def acts_between(
    reader: StoreReader, wanted: WantedActs, first: int, before: int, limit: int
) -> list[tuple[int, ActRow]]:
    """The newest acts from number `first` to before `before`, newest first, each with its number."""
    found = await reader.tables.fetch_all("acts_before", (before, *wanted, limit, first))
    return [(seq, reader.sight.act(read_row(tuple(row)))) for seq, *row in found]


async def next_act(reader: StoreReader) -> int:
    """A number above that of every act."""
    [(number,)] = await reader.tables.fetch_all("next_act")
    return int(number)


async def oldest_moving(reader: StoreReader, limit: int) -> list[Saga]:
    """The sagas that have been under way for the longest time."""
    return [rows.read_saga(row) for row in await reader.tables.fetch_all("oldest_moving", (limit,))]


async def steps_stood_at(reader: StoreReader, state: SagaState, rows_max: int) -> list[AtStep]:
    """At which steps the sagas of one state are that nobody holds; the oldest `rows_max` are looked at."""
    found = await reader.tables.fetch_all("waiting_steps", (state.value, rows_max))
    return [AtStep(state, *row) for row in found]


async def count_timers(reader: StoreReader, rows_max: int) -> int:
    """How many sagas go on by themselves at some moment; at most `rows_max` are counted."""
    [(number, _first)] = await reader.tables.fetch_all("overdue", (MOMENT_MAX, rows_max))
    return int(number)


async def unfinished_by_version(reader: StoreReader) -> list[tuple[str, int, str, int]]:
    """How many unfinished sagas there are of each type, version and state."""
    return [tuple_of(row) for row in await reader.tables.fetch_all("unfinished_by_version")]


def tuple_of(row: Iterable[object]) -> tuple[str, int, str, int]:
    """Type, version, state, number."""
    saga_type, version, state, number = row
    return str(saga_type), int(str(version)), str(state), int(str(number))


async def _failure(reader: StoreReader, row: tuple[object, ...]) -> Failure:
    kind, saga_type, version, step, undoing, error, *rest = row
    found = Failure(kind, saga_type, version, step, bool(undoing), error or "no reason is known", *rest)  # type: ignore[arg-type]
    secrets = await reader.secrets(SagaRef(found.saga_type, found.example))
    return found._replace(error=MASK if secrets is None else redacted(found.error, secrets))
