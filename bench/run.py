"""One run of the benchmark: its broker, its size, and what it has found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.broker import Kafka
from bench.results import Results
from bench.system import say

WARM_ORDERS = 2_000
"""Asked for before anything is counted: the broker's JVM compiles, caches fill."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        throughput: (orders, mix) of each part.
        repeats: of whatever is compared: medians are taken.
        limit: sagas that are passed through the relays.
        one_at_a_time: sagas of which each is asked for when the one before it has ended.
        latency: (sagas a second, seconds) of each part.
        orders: of every throughput that is compared with another.
        counted: orders of which fsyncs and messages are counted.
        partitions: numbers of partitions that are compared.
        waiting: sagas with a waiting timer, and sagas in flight at a crash.
        finished: sagas that the store already has.
        long: sagas during which memory must stay flat, in this many loads.

    """

    throughput: tuple[tuple[int, str], ...]
    repeats: int
    limit: int
    one_at_a_time: int
    latency: tuple[tuple[int, int], ...]
    orders: int
    counted: int
    partitions: tuple[int, ...]
    waiting: int
    finished: int
    long: tuple[int, int]
    warm: int = WARM_ORDERS


FULL = Size(
    throughput=((20_000, "succeed"), (20_000, "compensated"), (200_000, "succeed"), (200_000, "compensated")),
    repeats=3,
    limit=200_000,
    one_at_a_time=1_000,
    latency=((1, 300), (20, 120), (200, 60), (1_000, 60)),
    orders=20_000,
    counted=5_000,
    partitions=(4, 12, 48),
    waiting=100_000,
    finished=1_000_000,
    long=(1_000_000, 20),
)

SHORT = Size(
    throughput=((20_000, "succeed"),),
    repeats=1,
    limit=60_000,
    one_at_a_time=100,
    latency=((20, 10), (200, 5)),
    orders=5_000,
    counted=2_000,
    partitions=(4, 12, 48),
    waiting=10_000,
    finished=100_000,
    long=(20_000, 4),
)

TINY = Size(
    throughput=((200, "succeed"), (200, "compensated")),
    repeats=1,
    limit=200,
    one_at_a_time=20,
    latency=((50, 1),),
    orders=200,
    counted=100,
    partitions=(4,),
    waiting=300,
    finished=500,
    long=(200, 2),
    warm=20,
)
"""For the benchmark's own tests."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every section is given."""

    kafka: Kafka
    directory: Path
    size: Size
    results: Results

    def missing(self, section: str, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `parts` that have no result yet."""
        return {name: value for name, value in parts.items() if not self.results.has(section, name)}

    def keep(self, section: str, part: str, result: Mapping[str, Any]) -> None:
        """Keep one part's result, and tell it to whoever waits."""
        self.results.keep(section, part, result)
        say(f"{section}: {part}: {brief(section, result)}")

    @property
    def turns(self) -> range:
        return range(1, self.size.repeats + 1)


def brief(section: str, result: Mapping[str, Any]) -> str:
    """One result of `section` in a few words."""
    if "latency_ms" in result and section == "latency":
        return "p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms".format(**result["latency_ms"])
    if "per_s" in result:
        return f"{result['per_s']:,.0f} sagas/s"
    return ", ".join(f"{name} {value}" for name, value in result.items() if isinstance(value, int | float)) or "done"
