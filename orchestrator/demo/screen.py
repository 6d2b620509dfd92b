"""What people see of the demo: lines everywhere, and on a terminal a table that moves."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.runtime.clock import Clock
from kafka_saga.schemas.codec import JsonObject

STEPS = ("reserve_inventory", "process_payment", "create_order")
_WIDE = 4_000
_STYLES = {
    "COMPLETED": "green",
    "SUCCESS": "green",
    "COMPENSATED": "yellow",
    "COMPENSATING": "yellow",
    "FAILED": "red",
    "PARKED": "bold red",
    "RETRY": "magenta",
    "TIMEOUT": "magenta",
}
_MARKS = {"done": ("✓", "green"), "undone": ("↶", "yellow"), "now": ("▸", "cyan"), "open": ("·", "dim")}


class DemoScreen:
    """Prints on standard output; without a terminal one line at a time, never coloured."""

    def __init__(self, clock: Clock) -> None:
        fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
        self.console = Console(highlight=False, width=None if fixed else _WIDE)
        self._clock = clock
        self._started_ms = clock.monotonic_ms()
        self._scenes = 0

    def elapsed_s(self) -> float:
        """Seconds since the demo began."""
        return (self._clock.monotonic_ms() - self._started_ms) / 1000

    def say(self, text: str, style: str = "") -> None:
        """A line."""
        self.console.print(Text(text, style))

    def facts(self, rows: Sequence[tuple[str, object]]) -> None:
        """Names and values, the values in one column."""
        width = max(len(name) for name, _ in rows) + 2
        for name, value in rows:
            self.console.print(Text.assemble((f"  {name:<{width}}", "bold"), str(value)))

    def scene(self, title: str, caption: str) -> None:
        """The next scene: what happens in it, and what to look at."""
        self._scenes += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._scenes}  {title}", "bold"), (f"   {self.elapsed_s():.1f} s", "dim")))
        self.console.print(Padding(Text(caption, "italic"), (0, 0, 0, 3), expand=False))

    def log_row(self, entry: LogEntry, created_at: int) -> None:
        """A row of a saga's step log, as it was written."""
        number = STEPS.index(entry.step) + 1
        status = entry.status.value
        line = Text.assemble(
            f"     {(entry.at - created_at) / 1000:6.2f} s  {number} {entry.step:<18} ",
            (f"{status:<16}", _STYLES.get(status, "")),
            _comment(entry),
        )
        line.rstrip()
        self.console.print(line)

    def ending(self, saga_id: str, record: JsonObject, took_ms: int | None = None) -> None:
        """How a saga ended."""
        state = str(record["state"])
        took = "" if took_ms is None else f"{took_ms:>6} ms"
        line = Text.assemble(
            f"     {saga_id:<11} ", _marks(record), "  ", (f"{state:<12}", _STYLES.get(state, "")), took
        )
        if record["error"]:
            line.append(f"   {record['error']}")
        line.rstrip()
        self.console.print(line)


class Board:
    """Some sagas side by side, while they run: a table on a terminal, otherwise a line for each that ends."""

    def __init__(self, screen: DemoScreen, clock: Clock, saga_ids: Sequence[str]) -> None:
        self._screen = screen
        self._clock = clock
        self._records: dict[str, JsonObject] = {}
        self._took_ms: dict[str, int] = {}
        self._ids = tuple(saga_ids)
        self._started_ms = clock.monotonic_ms()
        self._live = (
            Live(console=screen.console, auto_refresh=False, transient=True) if screen.console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._live is None:
            return
        self._live.stop()
        if kind is None:
            for saga_id in self._ids:
                self._screen.ending(saga_id, self._records[saga_id], self._took_ms.get(saga_id))

    def update(self, saga_id: str, record: JsonObject) -> None:
        """A saga said something new."""
        if saga_id not in self._ids:
            return
        self._records[saga_id] = record
        ended = record["state"] in {"COMPLETED", "COMPENSATED", "PARKED"}
        if ended:
            self._took_ms.setdefault(saga_id, self._clock.monotonic_ms() - self._started_ms)
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif ended:
            self._screen.ending(saga_id, record, self._took_ms[saga_id])

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 5), show_header=False)
        for saga_id in self._ids:
            record: Any = self._records.get(saga_id, {"state": ""})
            state = str(record["state"])
            table.add_row(
                Text.assemble(f"{saga_id:<11} ", _marks(record), "  ", (f"{state:<12}", _STYLES.get(state, "")))
            )
        return table


def _marks(record: JsonObject) -> Text:
    """Three marks, one for each step: `✓` done, `↶` undone, `▸` in progress, `·` not begun or refused."""
    text = Text()
    for number in range(1, len(STEPS) + 1):
        if number in record.get("stepsCompensated", ()):
            mark = "undone"
        elif number in record.get("stepsExecuted", ()):
            mark = "done"
        else:
            mark = "now" if record.get("state") == "RUNNING" and number == record["currentStep"] else "open"
        text.append(*_MARKS[mark])
        text.append(" ")
    return text


def _comment(entry: LogEntry) -> str:
    error = str(entry.detail.get("error") or "")
    match entry.status:
        case LogStatus.IN_PROGRESS:
            return "command sent" if entry.attempt == 1 else f"the same command again, attempt {entry.attempt}"
        case LogStatus.COMPENSATING:
            return "compensation sent"
        case LogStatus.COMPENSATED:
            return "undone, and confirmed"
        case LogStatus.NOTHING_TO_UNDO:
            return "it had never happened"
        case _:
            return error
