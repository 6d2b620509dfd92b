"""`saga watch`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Group
from rich.live import Live
from rich.text import Text

from kafka_saga.orchestrator.app import sight_of
from kafka_saga.orchestrator.cli.keys import leave_on_q
from kafka_saga.orchestrator.cli.options import AS_DURATION, DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import STATE_STYLES, console, print_json, styled
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.sagas.watching import SAMPLE, Snapshot, Watch
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.wording import duration, plain

INTERVAL_MS_MIN = 50
ID_WIDTH_MIN = 16
ERROR_WIDTH = 20
"""What an error gets at least, while an id keeps `ID_WIDTH_MIN`."""

_LINES_ABOVE = 7
"""Lines that are no saga's: the list is cut to the terminal's height, or its top would scroll away."""

_GAP = "  "
_COLUMNS = ("saga", "type", "status", "started", "took")
_STATES = (
    (SagaState.PENDING, SagaState.RUNNING, SagaState.COMPENSATING),
    (SagaState.COMPLETED, SagaState.COMPENSATED, SagaState.PARKED),
)


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

    On a terminal it is a screen; elsewhere, and with -o jsonl, one JSON object a look. q or Ctrl-C ends it.

    Examples:
        saga watch
        saga watch --interval 5s --type order
        saga watch --count 1 -o json | jq .counts

    """
    settings = common.settings()
    live = output == "table" and sys.stdout.isatty()
    asyncio.run(_watch(settings, interval, saga_type, rows, count, live=live))


async def _watch(
    settings: Settings, interval_ms: int, saga_type: str | None, rows: int, count: int | None, *, live: bool
) -> None:
    clock = SystemClock()
    store = settings.store_at
    reader = await StoreReader.open(store, sight_of(settings))
    try:
        if not live:
            await _print_looks(Watch(reader, clock, saga_type, rows), clock, interval_ms, count)
            return
        out = console()
        watching = Watch(reader, clock, saga_type, max(0, min(rows, out.height - _LINES_ABOVE)))
        with leave_on_q() as leaving, Live(console=out, auto_refresh=False) as screen:
            looks = 0
            while looks != count and not leaving.is_set():
                screen.update(_drawn(await watching.look(), store, out.width), refresh=True)
                looks += 1
                if looks != count:
                    await _until(leaving, interval_ms)
    finally:
        await reader.close()


async def _print_looks(watching: Watch, clock: SystemClock, interval_ms: int, count: int | None) -> None:
    looks = 0
    while True:
        print_json((await watching.look()).as_json())
        looks += 1
        if looks == count:
            return
        await clock.sleep(max(INTERVAL_MS_MIN, interval_ms))


async def _until(leaving: asyncio.Event, interval_ms: int) -> None:
    """Wait for the next look, or for the end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(INTERVAL_MS_MIN, interval_ms) / 1000):
            await leaving.wait()


def _drawn(snapshot: Snapshot, store: StoreLocation, width: int) -> Group:
    lines = [
        Text(f"q leaves   {store}", "dim"),
        *_counted(snapshot),
        _speed(snapshot),
        Text(""),
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines, *_listed(snapshot.newest, width))


def _counted(snapshot: Snapshot) -> list[Text]:
    """What goes on, and what has ended or needs somebody: together they would not fit into 80 columns."""
    lines = []
    for states in _STATES:
        line = Text()
        for state in states:
            number = snapshot.counts.get(state, 0)
            line.append(f"{state.value} ", "dim").append(
                f"{number:,}   ", STATE_STYLES[state.value] if number else "dim"
            )
        lines.append(line)
    return lines


def _speed(snapshot: Snapshot) -> Text:
    rate = "…" if snapshot.rate is None else f"{snapshot.rate:,.1f} sagas/s"
    if snapshot.p50_ms is None or snapshot.p99_ms is None:
        return Text.assemble((rate, "bold"), "   none has ended yet")
    took = f"half within {duration(snapshot.p50_ms)}, 99 % within {duration(snapshot.p99_ms)}"
    return Text.assemble((rate, "bold"), f"   {took}", (f"  (of {SAMPLE:,})", "dim"))


def _listed(newest: Sequence[Mapping[str, Any]], width: int) -> list[Text]:
    """The newest sagas, a line each: status and times whole, the id as far as it fits, the error in what is left."""
    rows = [_cells(saga) for saga in newest]
    one_type = len({row["type"] for row in rows}) == 1
    columns = [column for column in _COLUMNS if not (one_type and column == "type")]
    widths = {column: max(len(text) for text in (column, *(row[column] for row in rows))) for column in columns[1:]}
    room = width - sum(widths.values()) - len(_GAP) * len(columns)
    widest = max((len(row["saga"]) for row in rows), default=0)
    widths = {"saga": max(len("saga"), min(widest, max(ID_WIDTH_MIN, room - ERROR_WIDTH))), **widths}
    head = dict(zip(_COLUMNS, _COLUMNS, strict=True)) | {"error": "error"}
    return [_row(head, widths, width, "bold"), *(_row(row, widths, width) for row in rows)]


def _cells(saga: Mapping[str, Any]) -> dict[str, str]:
    took = duration(saga["durationMs"]) if SagaState(saga["state"]) in TERMINAL else ""
    return {
        "saga": saga["sagaId"],
        "type": saga["sagaType"],
        "status": saga["status"],
        "started": f"{duration(saga['ageMs'])} ago",
        "took": took,
        "error": plain(saga["error"] or ""),
    }


def _row(cells: Mapping[str, str], widths: Mapping[str, int], width: int, style: str = "") -> Text:
    line = Text(style=style)
    for column, column_width in widths.items():
        cell = styled(cells[column], column_width)
        line.append_text(cell).append(" " * (column_width - len(cell)) + _GAP)
    line.append(cells["error"])
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    return line
