"""How many sagas a second, how soon each one, and what of the machine's limit that is."""

from __future__ import annotations

from typing import Any

from bench.limit import Sample, bytes_of, measure_limit, messages_of, sample
from bench.measure import measure
from bench.run import Bench
from bench.system import Options, System, running, say

PLANS = {"8 messages a saga": False, "every message": True}
"""The limit's parts, and whether the events before the outcome are passed on too."""


async def throughput(bench: Bench) -> None:
    """Sagas a second, asked for all at once, on an empty store."""
    parts = {f"{count:,} {mix} #1": (count, mix) for count, mix in bench.size.throughput}
    count, mix = bench.size.throughput[0]
    parts |= {f"{count:,} {mix} #{turn}": (count, mix) for turn in bench.turns}
    for name, (count, mix) in bench.missing("throughput", parts).items():
        say(f"throughput: {name} …")
        async with running(bench.kafka, bench.directory / "throughput") as system:
            await measure(system, bench.size.warm)
            bench.keep("throughput", name, await _with_disk(bench, system, count, mix))


async def _with_disk(bench: Bench, system: System, count: int, mix: str) -> dict[str, Any]:
    logs = bench.kafka.log_bytes(system.topics.prefix)
    result = await measure(system, count, mix=mix, timeout_s=max(120.0, count / 50))
    later = bench.kafka.log_bytes(system.topics.prefix)
    if logs is not None and later is not None:
        result["kafka_bytes_per_saga"] = round((later - logs) / count)
    await system.stop()  # closed databases have no write-ahead log
    total = count + bench.size.warm
    result["database_bytes_per_saga"] = {name: round(size / total) for name, size in system.database_bytes().items()}
    return result


async def limit(bench: Bench) -> None:
    """The system's messages, passed on by processes that do nothing else."""
    parts = {f"{name} #{turn}": every for turn in bench.turns for name, every in PLANS.items()}
    missing = bench.missing("limit", parts)
    if not missing:
        return
    one = await sample(bench.kafka, bench.directory / "sample")
    for name, every in missing.items():
        say(f"limit: {name} …")
        bench.keep("limit", name, await _limit(bench, one, every_event=every))


async def _limit(bench: Bench, one: Sample, *, every_event: bool, partitions: int = 4) -> dict[str, Any]:
    result = await measure_limit(
        bench.kafka,
        bench.directory / "limit",
        one,
        bench.size.limit,
        warm=_warm(bench, partitions),
        every_event=every_event,
        partitions=partitions,
    )
    return {**result, "messages_of_a_saga": messages_of(one), "bytes_of_a_saga": bytes_of(one)}


def _warm(bench: Bench, partitions: int) -> int:
    """How many orders do not count: as many for each partition, however many there are.

    A broker opens a partition's files when the first records come, and its indexes when the first 4 KB have: with 48
    partitions of every topic that took more than 20,000 orders did.
    """
    return bench.size.warm * max(1, partitions // Options().partitions)


async def latency(bench: Bench) -> None:
    """From the moment at which a request should be sent to its saga's outcome: one at a time, and at several rates."""
    parts: dict[str, dict[str, Any]] = {"one at a time": {"count": bench.size.one_at_a_time, "one_at_a_time": True}}
    parts |= {f"{rate:,}/s": {"count": rate * seconds, "rate": rate} for rate, seconds in bench.size.latency}
    missing = bench.missing("latency", parts)
    if not missing:
        return
    async with running(bench.kafka, bench.directory / "latency") as system:
        await measure(system, bench.size.warm)
        for name, asked in missing.items():
            say(f"latency: {name}, {asked['count']:,} sagas …")
            bench.keep("latency", name, await measure(system, **asked))


async def partitions(bench: Bench) -> None:
    """Throughput with topics of few and many partitions, and the limit with as many."""
    parts = {
        f"{number} partitions, {what} #{turn}": (number, what)
        for turn in bench.turns
        for number in bench.size.partitions
        for what in ("system", "limit")
    }
    missing = bench.missing("partitions", parts)
    if not missing:
        return
    one = await sample(bench.kafka, bench.directory / "sample")
    for name, (number, what) in missing.items():
        say(f"partitions: {name} …")
        if what == "limit":
            bench.keep("partitions", name, await _limit(bench, one, every_event=False, partitions=number))
            continue
        async with running(bench.kafka, bench.directory / "partitions", Options(partitions=number)) as system:
            await measure(system, _warm(bench, number))
            bench.keep("partitions", name, await measure(system, bench.size.orders))
