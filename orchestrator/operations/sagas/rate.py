"""How many a second, from counts that are taken now and then."""

from __future__ import annotations

from dataclasses import dataclass, field

LONE_RATE_MS = 5_000
"""A rate is taken over this long at least, so that a few sagas a minute do not flicker."""


@dataclass(slots=True)
class Rate:
    """A rate over the last LONE_RATE_MS or somewhat more."""

    _moments: list[tuple[int, int]] = field(default_factory=list)

    def at(self, ticks: int, counted: int) -> float | None:
        """The rate when `counted` was the sum at `ticks`, in milliseconds; None while there is no moment before."""
        self._moments.append((ticks, counted))
        while len(self._moments) > 2 and self._moments[1][0] <= ticks - LONE_RATE_MS:
            del self._moments[0]
        (before, count), *_ = self._moments
        return None if ticks == before else round(max(0, counted - count) * 1_000 / (ticks - before), 1)
