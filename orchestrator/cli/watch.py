"""`saga watch`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kafka_saga.orchestrator.cli.options import AS_DURATION, DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import STATE_STYLES, console, duration, print_json, say, styled
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.watching import SAMPLE, Snapshot, Watch
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock


def watch(
    *,
    interval: Annotated[
        int, AS_DURATION, Parameter(help="Time between two looks [default: 1s]", show_default=False)
    ] = (1_000),
    saga_type: Annotated[str | None, Parameter(name="--type", help="List only sagas of this type")] = None,
    rows: Annotated[int, Parameter(help="Sagas in the list", validator=Number(gte=0, lte=1_000))] = 12,
    count: Annotated[int | None, Parameter(help="Stop after so many looks", validator=Number(gte=1))] = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Watch sagas live: how many are where, how fast they end, how long they take, and the newest ones.

    On a terminal it is a screen; elsewhere, and with -o jsonl, one JSON object a look. Ctrl-C ends it.

    Examples:
        saga watch
        saga watch --interval 5s --type order
        saga watch --count 1 -o json | jq .counts

    """
    settings = common.settings()
    live = output == "table" and sys.stdout.isatty()
    asyncio.run(_watch(settings.store_path, interval, saga_type, rows, count, live=live))


async def _watch(
    store: Path, interval_ms: int, saga_type: str | None, rows: int, count: int | None, *, live: bool
) -> None:
    clock = SystemClock()
    reader = await StoreReader.open(store)
    looks = 0
    screen = Live(console=console(), screen=False, auto_refresh=False, transient=False) if live else None
    try:
        if screen is not None:
            screen.start()
        watching = Watch(reader, clock, saga_type, rows)
        while True:
            snapshot = await watching.look()
            if screen is None:
                print_json(snapshot.as_json())
            else:
                screen.update(_drawn(snapshot, store), refresh=True)
            looks += 1
            if looks == count:
                return
            await clock.sleep(max(50, interval_ms))
    except asyncio.CancelledError:
        if screen is not None:
            screen.stop()
            say("stopped watching")
        raise
    finally:
        if screen is not None:
            screen.stop()
        await reader.close()


def _drawn(snapshot: Snapshot, store: Path) -> Group:
    counts = Text()
    for state in SagaState:
        number = snapshot.counts.get(state, 0)
        style = STATE_STYLES.get(state.value, "") if number else "dim"
        counts.append(f"{state.value} ", "dim").append(f"{number:,}   ", style)
    rate = "…" if snapshot.rate is None else f"{snapshot.rate:,.1f} sagas/s"
    if snapshot.p50_ms is None or snapshot.p99_ms is None:
        took = "none has ended yet"
    else:
        took = f"half took up to {duration(snapshot.p50_ms)}, 99 % up to {duration(snapshot.p99_ms)}"
    speed = Text.assemble((f"{rate}   ", "bold"), f"{took}", (f"  (the latest {SAMPLE:,})", "dim"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("saga", "type", "status", "started", "took", "error"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for saga in snapshot.newest:
        took = duration(saga["durationMs"]) if SagaState(saga["state"]) in TERMINAL else ""
        cells = (saga["sagaId"], saga["sagaType"], saga["status"], f"{duration(saga['ageMs'])} ago", took)
        table.add_row(*(styled(cell, 40) for cell in cells), styled(saga["error"] or saga["parked"], 60))
    return Group(Text(str(store), "dim"), counts, speed, Text(""), table)
