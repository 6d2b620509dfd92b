"""Rates over the last quarter of an hour, for the curve beside a number: a moment every few seconds, and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from kafka_saga.runtime.live_limits import TREND_MOMENTS_MAX, TREND_STEP_MS

TREND_MS = TREND_STEP_MS * TREND_MOMENTS_MAX


class Moment(NamedTuple):
    """How many sagas had been started and had ended at `ticks`, milliseconds of a clock that only grows."""

    ticks: int
    started: int
    ended: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate in the course of time.

    Attributes:
        points: how long before the newest, in milliseconds, and how many a second in the step that ended then; oldest
            first. They change with each moment and not with the time, so that a page is not drawn anew for nothing.

    """

    points: Sequence[tuple[int, float]] = ()

    @property
    def highest(self) -> float:
        """The largest of them; 0 where there is none."""
        return max((rate for _, rate in self.points), default=0.0)


@dataclass(slots=True)
class Trend:
    """The moments of one store; those older than `TREND_MS` are forgotten."""

    _moments: deque[Moment] = field(default_factory=lambda: deque(maxlen=TREND_MOMENTS_MAX + 1))

    def note(self, moment: Moment) -> None:
        """Remember a moment, unless the one before it was just now."""
        if not self._moments or moment.ticks - self._moments[-1].ticks >= TREND_STEP_MS:
            self._moments.append(moment)

    @property
    def started(self) -> Curve:
        """How many were started a second."""
        return self._curve(lambda moment: moment.started)

    @property
    def ended(self) -> Curve:
        """How many ended a second."""
        return self._curve(lambda moment: moment.ended)

    def _curve(self, counted: Callable[[Moment], int]) -> Curve:
        if not self._moments:
            return Curve()
        newest = self._moments[-1].ticks
        steps = [(one, two) for one, two in pairwise(self._moments) if newest - two.ticks < TREND_MS]
        rates = (_rate(counted(two) - counted(one), two.ticks - one.ticks) for one, two in steps)
        return Curve([(newest - two.ticks, rate) for (_, two), rate in zip(steps, rates, strict=True)])


def _rate(number: int, length_ms: int) -> float:
    """So many a second; a store that was put back has fewer than before, which is no rate."""
    return max(0, number) * 1_000 / length_ms
