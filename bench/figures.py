"""The arithmetic of measuring: pure, so that it can be tested."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed; `ordered` is sorted and not empty."""
    assert ordered, "no values, no percentile"
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """How values lie; all in the unit of the values."""

    count: int
    p50: float
    p99: float
    p999: float
    max: float
    mean: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        ordered = sorted(values)
        return cls(
            count=len(ordered),
            p50=percentile(ordered, 50),
            p99=percentile(ordered, 99),
            p999=percentile(ordered, 99.9),
            max=ordered[-1],
            mean=sum(ordered) / len(ordered),
        )

    def rounded(self, digits: int = 2) -> dict[str, float]:
        return {name: round(value, digits) for name, value in asdict(self).items()}


def schedule(count: int, rate_per_s: float, seed: int) -> list[float]:
    """When to send each of `count` requests, in seconds from the start: independent senders, `rate_per_s` on average.

    The gaps are exponential (a Poisson process): evenly spaced requests would never meet, as customers' do. They
    are stretched to fill `count / rate_per_s` seconds, so that short runs have exactly the rate they are called by.
    """
    chance = random.Random(seed)
    moments: list[float] = []
    at = 0.0
    for _ in range(count):
        at += chance.expovariate(rate_per_s)
        moments.append(at)
    stretch = count / rate_per_s / at
    return [moment * stretch for moment in moments]


def per_second(moments: Iterable[float]) -> list[int]:
    """How many of `moments` (seconds from the start) lie in each second."""
    counts: list[int] = []
    for moment in moments:
        second = int(moment)
        counts.extend([0] * (second + 1 - len(counts)))
        counts[second] += 1
    return counts


def steady_rate(moments: Sequence[float]) -> float:
    """Events per second between the first and the last tenth of `moments`, which are in order."""
    first, last = len(moments) // 10, len(moments) - 1 - len(moments) // 10
    span = moments[last] - moments[first]
    return (last - first) / span if span > 0 else 0.0


def median(values: Sequence[float]) -> float:
    """The middle value; of an even number of values, the lower of the two."""
    return sorted(values)[(len(values) - 1) // 2]
