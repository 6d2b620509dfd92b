"""Metrics: counted in plain dictionaries where the work is done, made into Prometheus' form only when scraped.

A count per message costs a dictionary's increment, most are made once a batch, and gauges are asked for at the scrape.
The registry is this process's own, never the library's global one, so that a service's own metrics stay its own.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kafka_saga.runtime.limits import SCRAPE_READ_TIMEOUT_MS
from kafka_saga.runtime.telemetry import log

_log = log("metrics")

Labels = tuple[str, ...]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets that OpenTelemetry's conventions have for messaging."""

LONG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0)
"""A saga may wait for a person."""

SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0)


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric: its name, its labels, and what it says."""

    name: str
    help: str
    labels: Labels = ()

    def counted(self, counts: Mapping[Any, float]) -> Metric:
        """As a counter; the name ends in `_total`."""
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in counts.items():
            family.add_metric(_labels(labels), value)
        return family

    def measured(self, values: Mapping[Any, float]) -> Metric:
        """As a gauge."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in values.items():
            family.add_metric(_labels(labels), value)
        return family


def _labels(labels: Any) -> Sequence[str]:
    return (labels,) if isinstance(labels, str) else labels


class Histogram:
    """How often values of each size came."""

    __slots__ = ("_bounds", "_meter", "_rows")

    def __init__(self, meter: Meter, bounds: tuple[float, ...]) -> None:
        self._meter = meter
        self._bounds = bounds
        self._rows: dict[Labels, list[float]] = {}
        """Counts by bucket, and their values' sum at the end."""

    def observe(self, labels: Labels, value: float) -> None:
        """One more value."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = [0] * (len(self._bounds) + 2)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def family(self) -> Metric:
        """What a scrape shows."""
        family = HistogramMetricFamily(self._meter.name, self._meter.help, labels=self._meter.labels)
        for labels, row in self._rows.items():
            bounds = [*map(str, self._bounds), "+Inf"]
            family.add_metric(labels, list(zip(bounds, accumulate(row[:-1]), strict=True)), row[-1])
        return family


class Source(Collector):
    """Families of metrics that `families` makes at each scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families()


BUILD = Meter("saga_build_info", "The version of the program; always 1", ("version",))
LOOP_LAG = Meter(
    "saga_event_loop_lag_seconds", "By how much the event loop was late at most in the last fifteen seconds"
)


class Metrics:
    """The registry of one process, and what is read before each scrape."""

    def __init__(self, lag_s: Callable[[], float]) -> None:
        """`lag_s` tells how late the event loop is (`Heartbeat.lag_s`)."""
        self.registry = CollectorRegistry(auto_describe=True)
        self._reads: list[Callable[[], Awaitable[None]]] = []
        self._reading: dict[int, asyncio.Task[None]] = {}
        """By the read's place: what still waits for its answer, or has it."""
        build = {version("kafka-saga"): 1.0}
        ProcessCollector(registry=self.registry)
        self.add(lambda: (BUILD.measured(build), LOOP_LAG.measured({(): lag_s()})))

    def add(self, families: Callable[[], Iterable[Metric]], read: Callable[[], Awaitable[None]] | None = None) -> None:
        """Show what `families` makes; `read` is awaited before, where something must be asked for first."""
        self.registry.register(Source(families))
        if read is not None:
            self._reads.append(read)

    async def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """What a scraper that takes `accept` is given, and its content type."""
        if self._reads:
            await asyncio.wait(self._ask(), timeout=SCRAPE_READ_TIMEOUT_MS / 1000)
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _ask(self) -> list[asyncio.Task[None]]:
        """All reads at once, so that none waits for another; one that still waits is not asked again.

        None is cancelled: a connection that is broken off in the middle costs more than an old number.
        """
        for place, read in enumerate(self._reads):
            if place not in self._reading or self._reading[place].done():
                self._reading[place] = asyncio.create_task(_read(read), name="scrape")
        return list(self._reading.values())


async def _read(read: Callable[[], Awaitable[None]]) -> None:
    try:
        await read()
    except Exception as error:  # noqa: BLE001 -- the others are still worth showing
        _log.warning("metrics.read_failed", error=f"{type(error).__name__}: {error}")
