"""One measurement: a load on something that carries it, with what every process used for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from bench.machine import ROOT, MachineTime, cpu_ms_each, usages
from bench.orders import MIXES
from bench.system import BenchError, System
from kafka_saga.runtime.clock import new_id

_LINE_BYTES_MAX = 64 * 1024 * 1024


@asynccontextmanager
async def worker(module: str, arguments: Mapping[str, Any]) -> AsyncIterator[Process]:
    """A process of the benchmark that is ready for work; gone at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"bench.{module}",
        orjson.dumps(arguments).decode(),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,  # Ctrl-C is ours to handle
        limit=_LINE_BYTES_MAX,
    )
    try:
        await _said(process, "ready", module)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def measure(
    system: System,
    count: int,
    *,
    mix: str = "succeed",
    rate: float | None = None,
    one_at_a_time: bool = False,
    timeout_s: float = 600.0,
    run: str | None = None,
    processes: Mapping[str, int] | None = None,
    first: int = 0,
) -> dict[str, Any]:
    """Ask `system` for `count` orders, at once, `rate` a second or one at a time; what came of it.

    Args:
        run: begins the orders' ids; a fresh one when not given.
        processes: whose use is counted; the system's when not given.
        first: the number of the first order.

    Raises:
        BenchError: not every saga ended, or not as it must.

    """
    arguments = {
        "bootstrap": system.kafka.bootstrap,
        "requests": system.topics.requests("order"),
        "events": system.topics.events("order"),
        "run": run or new_id()[:6],
        "count": count,
        "first": first,
        "mix": mix,
        "rate": rate,
        "one_at_a_time": one_at_a_time,
        "timeout_s": timeout_s,
    }
    async with worker("load", arguments) as load:
        watched = {**(processes if processes is not None else system.processes), "load": load.pid}
        before, began = usages(watched), MachineTime.now()
        assert load.stdin is not None
        load.stdin.write(b"go\n")
        result = await _said(load, "result", "load")
        after, ended = usages(watched), MachineTime.now()
    del result["event"]
    check(result, mix, first, system.complaints)
    ours_s = sum(after[name].cpu_s - usage.cpu_s for name, usage in before.items() if name in after)
    return result | {
        "others_share": round(began.others(ended, ours_s), 3),
        "cpu_ms_per_saga": cpu_ms_each(before, after, count),
        "rss_mb": {name: round(usage.rss_mb, 1) for name, usage in after.items()},
    }


def check(result: Mapping[str, Any], mix: str, first: int, complaints: list[str]) -> None:
    """Nothing is measured of a run that went wrong.

    Raises:
        BenchError: it did.

    """
    count = result["count"]
    compensated = MIXES[mix].compensated(count, first)
    expected = {"COMPLETED": count - compensated, "COMPENSATED": compensated}
    if result["states"] != {state: number for state, number in expected.items() if number}:
        said = "\n".join(complaints) or "(its processes warned of nothing)"
        raise BenchError(f"{result['ended']} of {count} sagas ended, {result['states']}, not {expected}:\n{said}")


async def _said(process: Process, event: str, module: str) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise BenchError(f"bench.{module} ended with exit code {await process.wait()} before it was {event}")
    said: dict[str, Any] = orjson.loads(line)
    assert said["event"] == event, said
    return said
