"""What a store that is not empty costs: finished sagas, waiting timers, a crash with many in flight, a start."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import Any

import orjson

from bench import wire
from bench.generate import fill
from bench.measure import measure
from bench.run import Bench
from bench.system import BenchError, Options, System, prepared, say
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR, SERVICES

_WITH_PARCELS = ("kafka_saga.orchestrator.sagas.order", "bench.parcel")
_PATIENT = ("bench.patient",)
_LOOK_S = 0.05
_WAIT_S = 900.0


async def start(bench: Bench) -> None:
    """From the start of a process to its being ready: the first start, and one with an empty store."""
    for turn in bench.turns:
        if not bench.missing("start", {f"#{turn}": None}):
            continue
        async with prepared(bench.kafka, bench.directory / "start") as system:
            first = {name: round(await system.start(name), 3) for name in (ORCHESTRATOR, *SERVICES)}
            await measure(system, bench.size.warm)
            await system.stop()
            again = {name: round(await system.start(name), 3) for name in (ORCHESTRATOR, *SERVICES)}
        bench.keep("start", f"#{turn}", {"first_s": first, "again_s": again, "seconds": again[ORCHESTRATOR]})


async def finished(bench: Bench) -> None:
    """Throughput and start with many finished sagas in all four databases, against empty ones, in turns."""
    parts = {f"{count:,} finished #{turn}": count for turn in bench.turns for count in (0, bench.size.finished)}
    for name, count in bench.missing("finished", parts).items():
        say(f"finished: {name} …")
        async with prepared(bench.kafka, bench.directory / "finished") as system:
            await system.start()
            await measure(system, bench.size.warm)
            await system.stop()
            before = system.database_bytes()
            if count:
                await asyncio.to_thread(fill, system.directory, count)
            sizes = system.database_bytes()
            seconds = {one: round(await system.start(one), 3) for one in (*SERVICES, ORCHESTRATOR)}
            result = await measure(system, bench.size.orders)
        grown = {one: round((sizes[one] - before[one]) / count) for one in sizes} if count else {}
        bench.keep(
            "finished", name, result | {"start_s": seconds, "database_bytes": sizes, "bytes_per_made_saga": grown}
        )


async def timers(bench: Bench) -> None:
    """What a saga costs while many others wait for an answer, each with its timer."""
    parts = {f"{count:,} waiting #{turn}": count for turn in bench.turns for count in (0, bench.size.waiting)}
    for name, count in bench.missing("timers", parts).items():
        say(f"timers: {name} …")
        # The window is as much larger as there are sagas waiting: 1,000 are left for the orders, as without them.
        options = Options(apps=_WITH_PARCELS, flags=("--in-flight-max", str(1_000 + count)))
        async with prepared(bench.kafka, bench.directory / "timers", options) as system:
            await system.start()
            await measure(system, bench.size.warm)
            filled_s = await _wait_for_parcels(system, count) if count else 0.0
            result = await measure(system, bench.size.orders)
        bench.keep("timers", name, result | {"filled_s": round(filled_s, 2)})


async def _wait_for_parcels(system: System, count: int) -> float:
    began = time.perf_counter()
    async with wire.new_producer(system.kafka.bootstrap) as producer:
        outlet = await wire.Outlet.to(producer, system.topics.requests("parcel"))
        rows = [(f"parcel-{n}".encode(), orjson.dumps({"parcel_id": f"parcel-{n}"})) for n in range(count)]
        await outlet.publish(rows)
    await _until(system, "SELECT count(*) FROM sagas WHERE state = 'RUNNING' AND saga_type = 'parcel'", count)
    return time.perf_counter() - began


async def recovery(bench: Bench) -> None:
    """kill -9 of the orchestrator with many sagas in flight: how soon it is back, and how soon all have ended."""
    count = bench.size.waiting
    for turn in bench.turns:
        name = f"{count:,} in flight #{turn}"
        if not bench.missing("recovery", {name: None}):
            continue
        say(f"recovery: {name} …")
        options = Options(apps=_PATIENT, flags=("--in-flight-max", str(count)))
        async with prepared(bench.kafka, bench.directory / "recovery", options) as system:
            bench.keep("recovery", name, await _crash(system, count))


async def _crash(system: System, count: int) -> dict[str, Any]:
    await system.start(ORCHESTRATOR)
    load = asyncio.create_task(measure(system, count, timeout_s=_WAIT_S, processes={}))
    try:
        began = time.perf_counter()
        await _until(system, "SELECT count(*) FROM sagas WHERE state = 'RUNNING'", count, load)
        filled_s = time.perf_counter() - began
        await system.kill(ORCHESTRATOR)
        unpublished = _ask(system, "SELECT coalesce(sum(messages), 0) FROM outbox")
        ready_s = await system.start(ORCHESTRATOR)
        await system.start(*SERVICES)
        participants_at = time.perf_counter()
        result = await load
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    return {
        "filled_s": round(filled_s, 2),
        "unpublished_messages": unpublished,
        "ready_s": round(ready_s, 3),
        "ended_s": round(time.perf_counter() - participants_at, 2),
        "states": result["states"],
    }


async def _until(system: System, sql: str, count: int, load: asyncio.Task[Any] | None = None) -> None:
    """Wait until the orchestrator's store answers `sql` with `count`."""
    deadline = time.perf_counter() + _WAIT_S
    while (found := _ask(system, sql)) < count:
        if load is not None and load.done():
            load.result()
        if time.perf_counter() > deadline:
            raise BenchError(f"waited {_WAIT_S:.0f} s for {count:,} in `{sql}`; it is {found:,}")
        await asyncio.sleep(_LOOK_S)


def _ask(system: System, sql: str) -> int:
    # Read only: a reader in this mode holds up no writer, and each look is one short statement (R24).
    with closing(sqlite3.connect(f"file:{system.database(ORCHESTRATOR)}?mode=ro", uri=True)) as connection:
        [(number,)] = connection.execute(sql)
        return int(number)
