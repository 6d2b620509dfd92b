"""What screens ask of a store: counts and groups, each a short statement that reads a bounded number of rows (R24)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.act_rows import ActRow, read_row
from kafka_saga.orchestrator.store.listing import MOMENT_MAX
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import AtStep
from kafka_saga.runtime.live_limits import FAILURE_GROUPS_MAX, FAILURE_LINES_MAX
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.sensitive import MASK, redacted


class Failure(NamedTuple):
    """Sagas of one kind that failed in the same words at the same step.

    Attributes:
        kind: `parked`, `retrying` or `undone`.
        version: of their definition.
        step: its number, from 1; 0 where it is about no step.
        undoing: whether the step was being undone.
        error: the words, as the reader shows them: without what is hidden; None where nobody noted any.
        cause: why they are parked.
        example: one of them.
        first_at, last_at: when the first and the last of them changed last.

    """

    kind: str
    saga_type: str
    version: int
    step: int
    undoing: bool
    error: str | None
    cause: str | None
    number: int
    example: str
    first_at: int
    last_at: int


class Failures(NamedTuple):
    """The commonest failures.

    Attributes:
        found: the one that most sagas have first.
        others: how many sagas failed in words that are not among them.

    """

    found: list[Failure]
    others: int


class StoppedAt(NamedTuple):
    """How many parked sagas stopped at one step, and on which way."""

    saga_type: str
    version: int
    step: int
    undoing: bool
    number: int


class EndedInMinute(NamedTuple):
    """How many sagas ended in one minute, counted from 1970."""

    minute: int
    state: str
    number: int


async def open_failures(reader: StoreReader, rows_max: int) -> Failures:
    """What is parked, and what waits to be tried again; the oldest `rows_max` of each state are looked at."""
    return await _failures(reader, await reader.tables.fetch_all("open_failures", (rows_max, FAILURE_GROUPS_MAX)))


async def undone_failures(reader: StoreReader, first: int, end: int) -> Failures:
    """Why sagas were undone, of those accepted from key `first` to before `end`."""
    return await _failures(reader, await reader.tables.fetch_all("undone_failures", (first, end, FAILURE_GROUPS_MAX)))


async def parked_at(reader: StoreReader, rows_max: int) -> list[StoppedAt]:
    """Where parked sagas stopped; the oldest `rows_max` are looked at."""
    found = await reader.tables.fetch_all("parked_at", (rows_max,))
    return [StoppedAt(*row)._replace(undoing=bool(row[3])) for row in found]


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
    found = await reader.tables.fetch_all("oldest_moving", (limit,))
    return [reader.sight.saga(rows.read_saga(row)) for row in found]


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


async def _failures(reader: StoreReader, found: Sequence[Sequence[Any]]) -> Failures:
    failures, masked = list[Failure](), _Masked(reader)
    for *row, _every in found:
        failure = Failure(*row)._replace(undoing=bool(row[4]))
        words = failure.error and await masked.words(SagaRef(failure.saga_type, failure.example), failure.error)
        if words is not _UNASKED:
            failures.append(failure._replace(error=words or None))
    every = found[0][-1] if found else 0
    return Failures(failures, every - sum(failure.number for failure in failures))


_UNASKED = "\0"
"""Words of which nobody asked what is hidden."""


@dataclass(slots=True)
class _Masked:
    """Words without what is hidden.

    What reads like words that were masked before is shown as those are: a thousand errors that differ in the number of
    a card are one failure, and one question.
    """

    reader: StoreReader
    _known: dict[str, list[str]] = field(default_factory=dict)
    _asked: int = 0

    async def words(self, ref: SagaRef, text: str) -> str:
        """As the reader may show them; `_UNASKED` where too many others were asked for."""
        if not self.reader.sight.hides(ref.saga_type):
            return text
        known = self._known.setdefault(ref.saga_type, [])
        for shown in known:
            if _reads_like(text, shown):
                return shown
        if self._asked == FAILURE_LINES_MAX:
            return _UNASKED
        self._asked += 1
        secrets = await self.reader.secrets(ref)
        shown = MASK if secrets is None else redacted(text, secrets)
        if MASK in shown and shown.replace(MASK, "").strip():
            known.append(shown)
        return shown


def _reads_like(text: str, masked: str) -> bool:
    """Whether a text is a masked one but for what stands in the masks' places."""
    first, *between, last = masked.split(MASK)
    at, end = len(first), len(text) - len(last)
    if not (text.startswith(first) and text.endswith(last)):
        return False
    for part in between:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return at <= end
