"""When each attempt of each step ran, how it ended, and what was waited for in between: read from the log alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import TERMINAL, LogStatus, SagaState


class Ending(StrEnum):
    """How a stretch of time ended."""

    DONE = "done"
    AGAIN = "again"
    """It did not work, and another attempt followed."""
    FAILED = "failed"
    """It did not work, and that was the last of it."""
    IN_DOUBT = "in doubt"
    UNDONE = "undone"
    NOTHING = "nothing to undo"
    PARKED = "parked"
    OPEN = "open"
    """It lasts."""
    BACKOFF = "backoff"
    """Nobody worked: it was waited before the next attempt."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a step's time.

    Attributes:
        back: whether it belongs to the way back.
        attempt: its number; counted anew in each epoch.
        ended_at: None while it lasts.
        said: the words in which it did not work.

    """

    step: str
    back: bool
    attempt: int
    began_at: int
    ended_at: int | None = None
    ending: Ending = Ending.OPEN
    said: str = ""

    @property
    def is_wait(self) -> bool:
        """Whether nobody works meanwhile."""
        return self.ending is Ending.BACKOFF


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment at which somebody acted."""

    at: int
    step: str
    text: str


@dataclass(slots=True)
class Timeline:
    """All of a saga's bars, by when they began, from `began_at` to `ended_at`."""

    began_at: int
    ended_at: int
    lasts: bool
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """The steps that have bars, by their first one."""
        return list(dict.fromkeys(bar.step for bar in self.bars))

    @property
    def backoff_ms(self) -> int:
        """How long it was waited for the next attempt, all together."""
        return sum((bar.ended_at or self.ended_at) - bar.began_at for bar in self.bars if bar.is_wait)

    def end_of(self, bar: Bar) -> int:
        """Where to draw its end: now, for one that lasts."""
        return self.ended_at if bar.ended_at is None else bar.ended_at

    def attempts(self, *, back: bool) -> int:
        """How many attempts there were, one way."""
        return sum(bar.back is back and not bar.is_wait for bar in self.bars)


def timeline(saga: Saga, log: Sequence[LogEntry], now: int) -> Timeline:
    """The time line of `saga`, whose whole log is `log`, as it is at `now`."""
    lasts = saga.state not in TERMINAL and saga.state is not SagaState.PARKED
    end = max((saga.created_at, saga.updated_at, *(entry.at for entry in log)))
    line = Timeline(saga.created_at, max(end, now) if lasts else end, lasts)
    open_bars: dict[tuple[str, bool], int] = {}
    for entry in log:
        _take(line, open_bars, entry)
    for place in open_bars.values():
        bar = line.bars[place]
        if saga.state in TERMINAL:
            ended = min(end, bar.ended_at) if bar.ended_at is not None else end
            line.bars[place] = replace(bar, ended_at=ended, said=bar.said or "settled by hand")
    return line


_BEGINS = {LogStatus.IN_PROGRESS: False, LogStatus.COMPENSATING: True}
_ENDINGS = {
    LogStatus.SUCCESS: (False, Ending.DONE),
    LogStatus.COMPENSATED: (True, Ending.UNDONE),
    LogStatus.NOTHING_TO_UNDO: (True, Ending.NOTHING),
}


def _take(line: Timeline, open_bars: dict[tuple[str, bool], int], entry: LogEntry) -> None:
    """What one row of the log adds."""
    step, status = entry.step, entry.status
    if status in _BEGINS and not _is_remark(entry):
        _begin(line, open_bars, entry, back=_BEGINS[status])
    elif status in _ENDINGS:
        back, ending = _ENDINGS[status]
        _end(line, open_bars, (step, back), entry.at, ending)
    elif status in (LogStatus.RETRY, LogStatus.TIMEOUT):
        _attempt_failed(line, open_bars, entry)
    elif status is LogStatus.FAILED:
        _failed(line, open_bars, entry)
    elif status is LogStatus.PARKED:
        _parked(line, open_bars, entry)
    elif status is LogStatus.ACT and "verb" in entry.detail:
        line.marks.append(Mark(entry.at, step, f"{entry.detail.get('actor')}: {entry.detail.get('verb')}"))


def _is_remark(entry: LogEntry) -> bool:
    """Whether the row tells something of the attempt in flight and begins none."""
    return entry.detail.get("event") == "ReplyUnreadable" or "note" in entry.detail


def _begin(line: Timeline, open_bars: dict[tuple[str, bool], int], entry: LogEntry, *, back: bool) -> None:
    step = entry.step
    if back:
        _end(line, open_bars, (step, False), entry.at, Ending.IN_DOUBT)  # it was cancelled while it was awaited
    waiting = open_bars.pop((step, back), None)
    if waiting is not None:
        last = line.bars[waiting]
        line.bars[waiting] = replace(last, ended_at=entry.at) if last.is_wait else _unanswered(last, entry.at)
    open_bars[step, back] = len(line.bars)
    line.bars.append(Bar(step, back, entry.attempt, entry.at))


def _unanswered(bar: Bar, at: int) -> Bar:
    return replace(bar, ended_at=at, ending=Ending.AGAIN, said="sent again before an answer came")


def _end(line: Timeline, open_bars: dict[tuple[str, bool], int], key: tuple[str, bool], at: int, how: Ending) -> None:
    place = open_bars.pop(key, None)
    if place is None:
        return
    bar = line.bars[place]
    ending = Ending.BACKOFF if bar.is_wait else how
    line.bars[place] = replace(bar, ended_at=at, ending=ending)


def _attempt_failed(line: Timeline, open_bars: dict[tuple[str, bool], int], entry: LogEntry) -> None:
    detail = entry.detail
    back = next((back for back in (True, False) if (entry.step, back) in open_bars), False)
    place = open_bars.pop((entry.step, back), None)
    if place is not None:
        said = _said(detail) or ("no reply in time" if entry.status is LogStatus.TIMEOUT else "")
        line.bars[place] = replace(line.bars[place], ended_at=entry.at, ending=Ending.AGAIN, said=said)
    if "retry_at" in detail:
        open_bars[entry.step, back] = len(line.bars)
        line.bars.append(Bar(entry.step, back, entry.attempt, entry.at, None, Ending.BACKOFF))


def _failed(line: Timeline, open_bars: dict[tuple[str, bool], int], entry: LogEntry) -> None:
    """The step is given up: by a refusal, which ends the open bar, or because the last attempt was spent."""
    key = (entry.step, False)
    if key in open_bars:
        said = _said(entry.detail)
        place = open_bars.pop(key)
        line.bars[place] = replace(line.bars[place], ended_at=entry.at, ending=Ending.FAILED, said=said)
        return
    _mark_last(line, entry.step, back=False, ending=Ending.FAILED)


def _parked(line: Timeline, open_bars: dict[tuple[str, bool], int], entry: LogEntry) -> None:
    for back in (True, False):
        place = open_bars.pop((entry.step, back), None)
        if place is not None:
            why = str(entry.detail.get("why", ""))
            bar = line.bars[place]
            ending = bar.ending if bar.is_wait else Ending.PARKED
            line.bars[place] = replace(bar, ended_at=entry.at, ending=ending, said=bar.said or why)
            return
    last = next((bar for bar in reversed(line.bars) if bar.step == entry.step), None)
    if last is not None and last.ending is Ending.AGAIN:
        _mark_last(line, entry.step, back=last.back, ending=Ending.PARKED)


def _mark_last(line: Timeline, step: str, *, back: bool, ending: Ending) -> None:
    for place in reversed(range(len(line.bars))):
        bar = line.bars[place]
        if bar.step == step and bar.back is back and not bar.is_wait:
            line.bars[place] = replace(bar, ending=ending)
            return


def _said(detail: Any) -> str:
    body = detail.get("body")
    said = body.get("error") if isinstance(body, dict) else None
    return str(detail.get("error") or said or "")


def busy(line: Timeline) -> Iterable[tuple[int, int]]:
    """When anybody worked: what is left is waiting, and may be folded."""
    for bar in line.bars:
        if not bar.is_wait:
            yield bar.began_at, line.end_of(bar)
