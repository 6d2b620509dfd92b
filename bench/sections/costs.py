"""What a saga costs: messages, fsyncs, memory."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench import wire
from bench.machine import usages
from bench.measure import measure
from bench.run import Bench
from bench.system import Options, System, running, say
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR, SERVICES

_SAMPLE_S = 2.0
_LONE_PER_S = 20
_TRACED = "trace=fsync,fdatasync"
_CALL = re.compile(r"\b(?:fsync|fdatasync)\(")


async def costs(bench: Bench) -> None:
    """Messages and fsyncs per saga: of a flood, and of sagas that come one by one.

    fsyncs are counted by strace, which sees each call of each thread; it stops a process only at these calls, but
    that does cost: rates measured under it are not for comparison, and are not kept. Without strace they are not
    counted. SQLite's commits and its checkpoints count alike.
    """
    lone = min(bench.size.counted, _LONE_PER_S * 30)
    parts = {"flood": (bench.size.counted, None), f"{_LONE_PER_S}/s": (lone, float(_LONE_PER_S))}
    for name, (count, rate) in bench.missing("costs", parts).items():
        say(f"costs: {name} …")
        directory = bench.directory / "costs"
        async with running(bench.kafka, directory, Options(wrappers=_tracers(bench.directory))) as system:
            await measure(system, bench.size.warm)
            messages = await _messages(system)
            calls = _calls(bench.directory)
            await measure(system, count, rate=rate)
            after, calls_after = await _messages(system), _calls(bench.directory)
        by_topic = {topic: (after[topic] - messages[topic]) / count for topic in after}
        found: dict[str, Any] = {
            "messages_per_saga": round(sum(by_topic.values()), 3),
            "by_topic": {topic: number for topic, number in by_topic.items() if number},
        }
        if calls_after:
            found["fsyncs_per_saga"] = {one: round((calls_after[one] - calls[one]) / count, 4) for one in calls_after}
        bench.keep("costs", name, found)


def _tracers(directory: Path) -> dict[str, tuple[str, ...]]:
    """What each process is run by, so that its fsyncs are counted."""
    if shutil.which("strace") is None:
        say("strace is not installed: fsyncs are not counted")
        return {}
    return {
        # -D: the process itself stays our child; --seccomp-bpf: other calls run at full speed.
        name: ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", _TRACED, "-o", str(_trace(directory, name)))
        for name in (ORCHESTRATOR, *SERVICES)
    }


def _trace(directory: Path, name: str) -> Path:
    return directory / f"{name}.strace"


def _calls(directory: Path) -> dict[str, int]:
    """How many fsyncs each process has asked for so far."""
    traces = {name: _trace(directory, name) for name in (ORCHESTRATOR, *SERVICES)}
    return {name: len(_CALL.findall(path.read_text())) for name, path in traces.items() if path.exists()}


async def _messages(system: System) -> dict[str, int]:
    """How many messages each topic has."""
    topics = system.topics
    names = [topics.requests("order"), topics.events("order")]
    names += [topic for service in SERVICES for topic in (topics.commands(service), topics.replies_of(service))]
    async with wire.new_consumer(system.kafka.bootstrap) as consumer:
        partitions = await wire.partitions_of(consumer, names)
        counts: dict[str, int] = {}
        for partition, end in (await consumer.end_offsets(partitions)).items():
            topic = partition.topic.removeprefix(topics.prefix)
            counts[topic] = counts.get(topic, 0) + end
        return counts


async def memory(bench: Bench) -> None:
    """Resident memory of each process over a long run; it must not grow with the number of sagas."""
    count, loads = bench.size.long
    name = f"{count:,} sagas"
    if not bench.missing("memory", {name: None}):
        return
    samples: list[dict[str, float]] = []
    rates: list[float] = []
    async with running(bench.kafka, bench.directory / "memory") as system:
        await measure(system, bench.size.warm)
        async with _sampled(system.processes, samples):
            for turn in range(loads):
                each = count // loads
                result = await measure(system, each, mix="compensated", first=turn * each, timeout_s=each / 20)
                rates.append(round(result["per_s"]))
                say(f"memory: {(turn + 1) * each:,} sagas, {result['rss_mb']}")
    bench.keep("memory", name, {"samples": thinned(samples, 400), "per_s_by_load": rates, "growth": growth(samples)})


@asynccontextmanager
async def _sampled(processes: Mapping[str, int], samples: list[dict[str, float]]) -> AsyncIterator[None]:
    began = time.perf_counter()

    async def sample() -> None:
        while True:
            at = round(time.perf_counter() - began, 1)
            samples.append({"at_s": at} | {n: round(one.rss_mb, 1) for n, one in usages(dict(processes)).items()})
            await asyncio.sleep(_SAMPLE_S)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def thinned(samples: list[dict[str, float]], most: int) -> list[dict[str, float]]:
    """At most `most` of the samples, evenly."""
    return samples[:: -(-len(samples) // most)] if samples else []


def growth(samples: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """By process, resident megabytes: the mean of the second tenth of the run, and of the last."""
    tenth = max(1, len(samples) // 10)
    early, late = samples[tenth : 2 * tenth] or samples, samples[-tenth:]
    names = [name for name in samples[0] if name != "at_s"] if samples else []
    return {name: {"early_mb": _mean(early, name), "late_mb": _mean(late, name)} for name in names}


def _mean(samples: list[dict[str, float]], name: str) -> float:
    values = [sample[name] for sample in samples if name in sample]
    return round(sum(values) / max(1, len(values)), 1)
