"""What is measured, section by section. Each part's result is kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.broker import Kafka
from bench.limit import bytes_of, measure_limit, messages_of, sample
from bench.measure import measure
from bench.results import Results
from bench.system import System, running, say

WARM_ORDERS = 2_000
"""Asked for before anything is counted: the broker's JVM compiles, caches fill."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        throughput: (orders, mix) of each part.
        repeats: of the throughput's first part and of the limit, in turns.
        limit: sagas that are passed through the relays.
        latency: (sagas a second, seconds) of each part.

    """

    throughput: tuple[tuple[int, str], ...]
    repeats: int
    limit: int
    latency: tuple[tuple[int, int], ...]


SHORT = Size(((20_000, "succeed"),), 1, 60_000, ((1, 5), (20, 10), (200, 5)))
FULL = Size(
    ((20_000, "succeed"), (20_000, "compensated"), (200_000, "succeed"), (200_000, "compensated")),
    3,
    200_000,
    ((1, 300), (20, 120), (200, 60), (1_000, 60)),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: its broker, its directory, its size, and what it has found."""

    kafka: Kafka
    directory: Path
    size: Size
    results: Results

    def missing(self, section: str, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `parts` that have no result yet."""
        return {name: value for name, value in parts.items() if not self.results.has(section, name)}

    def keep(self, section: str, part: str, result: Mapping[str, Any]) -> None:
        self.results.keep(section, part, result)
        say(f"{section}: {part}: {brief(result)}")


def brief(result: Mapping[str, Any]) -> str:
    """One result in a few words."""
    words = []
    if "per_s" in result:
        words.append(f"{result['per_s']:,.0f} sagas/s")
    if "latency_ms" in result and "send_late_ms" in result:
        words.append("p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms".format(**result["latency_ms"]))
    return ", ".join(words) or "done"


async def throughput(bench: Bench) -> None:
    """Sagas a second, asked for all at once, on an empty store."""
    parts = {f"{count:,} {mix} #1": (count, mix) for count, mix in bench.size.throughput}
    count, mix = bench.size.throughput[0]
    parts |= {f"{count:,} {mix} #{turn}": (count, mix) for turn in range(2, bench.size.repeats + 1)}
    for name, (count, mix) in bench.missing("throughput", parts).items():
        say(f"throughput: {name} …")
        async with running(bench.kafka, bench.directory / "throughput") as system:
            await measure(system, WARM_ORDERS)
            result = await _with_disk(bench, system, count, mix)
        bench.keep("throughput", name, result)


async def _with_disk(bench: Bench, system: System, count: int, mix: str) -> dict[str, Any]:
    logs = bench.kafka.log_bytes
    result = await measure(system, count, mix=mix, timeout_s=max(120.0, count / 50))
    if logs is not None and bench.kafka.log_bytes is not None:
        result["kafka_bytes_per_saga"] = round((bench.kafka.log_bytes - logs) / count)
    await system.stop()  # closed databases have no write-ahead log
    total = count + WARM_ORDERS
    result["database_bytes_per_saga"] = {name: round(size / total) for name, size in system.database_bytes().items()}
    return result


async def limit(bench: Bench) -> None:
    """The system's messages, passed on by processes that do nothing else."""
    plans = {"8 messages a saga": False, "every message": True}
    parts = {f"{name} #{turn}": every for turn in range(1, bench.size.repeats + 1) for name, every in plans.items()}
    missing = bench.missing("limit", parts)
    if not missing:
        return
    one = await sample(bench.kafka, bench.directory / "sample")
    for name, every in missing.items():
        say(f"limit: {name} …")
        result = await measure_limit(bench.kafka, bench.directory / "limit", one, bench.size.limit, every_event=every)
        found = {"messages_of_a_saga": messages_of(one), "bytes_of_a_saga": bytes_of(one)}
        bench.keep("limit", name, {**result, **found})


async def latency(bench: Bench) -> None:
    """From the moment at which a request should be sent to its saga's outcome, at several rates."""
    parts = {f"{rate}/s": (rate, seconds) for rate, seconds in bench.size.latency}
    missing = bench.missing("latency", parts)
    if not missing:
        return
    async with running(bench.kafka, bench.directory / "latency") as system:
        await measure(system, WARM_ORDERS)
        for name, (rate, seconds) in missing.items():
            say(f"latency: {name} for {seconds} s …")
            bench.keep("latency", name, await measure(system, rate * seconds, rate=rate))


Section = Callable[[Bench], Awaitable[None]]
SECTIONS: dict[str, Section] = {"throughput": throughput, "limit": limit, "latency": latency}
SHORT_SECTIONS = ("throughput", "limit", "latency")
