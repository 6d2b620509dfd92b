"""Printing: tables for people, JSON for programs. Data goes to stdout, everything else to stderr.

What came from messages is hostile: control characters would steer the terminal, so they are printed as text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kafka_saga.orchestrator.cli.options import Output
from kafka_saga.schemas.codec import encode

STATE_STYLES = {
    "COMPLETED": "green",
    "COMPENSATED": "yellow",
    "PARKED": "bold red",
    "COMPENSATING": "yellow",
    "RUNNING": "cyan",
    "PENDING": "dim",
    "SUCCESS": "green",
    "FAILED": "red",
    "ok": "green",
    "note": "yellow",
    "wrong": "bold red",
    "unused": "yellow",
}

CELL_LENGTH_MAX = 64
"""One id of a hostile length must not push all other columns off the screen; JSON has it whole."""

WIDE = 4_000
"""Where no terminal cuts lines off: a file or a pipe gets each row on one line."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}


def console(*, stderr: bool = False) -> Console:
    """A console of the terminal's width; of no width at all where the output is read by a program."""
    stream = sys.stderr if stderr else sys.stdout
    fixed = stream.isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, width=None if fixed else WIDE, highlight=False, soft_wrap=False)


def print_rows(
    output: Output,
    columns: Sequence[str],
    rows: Iterable[dict[str, Any]],
    *,
    title: str = "",
    prose: Sequence[str] = ("detail", "error", "what to do", "what for"),
) -> None:
    """Rows as a table, as one JSON array, or as one JSON object a line.

    In a table only the columns of `prose` are broken into lines: names and ids stay whole while there is room.
    """
    if output == "jsonl":
        for row in rows:
            print_json(row)
    elif output == "json":
        print_json(list(rows))
    else:
        table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
        for column in columns:
            is_prose = column in prose
            table.add_column(column, overflow="fold" if is_prose else "ellipsis", no_wrap=not is_prose)
        for row in rows:
            cells = (styled(row.get(column), None if column in prose else CELL_LENGTH_MAX) for column in columns)
            table.add_row(*cells)
        console().print(table)


def print_json(document: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.buffer.write(encode(document) + b"\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """A remark for people, on stderr."""
    sys.stderr.write(f"{plain(message)}\n")


def plain(text: str) -> str:
    """`text` on one line, without characters that steer a terminal."""
    return text.translate(_CONTROLS)


def styled(value: object, length_max: int | None = None) -> Text:
    """A cell's text, coloured where it is a state; cut where it is longer than `length_max`."""
    text = "" if value is None else plain(str(value))
    if length_max is not None and len(text) > length_max:
        text = f"{text[: length_max - 1]}…"
    return Text(text, style=STATE_STYLES.get(text.split(" ", 1)[0], ""))


def clock(at_ms: int) -> str:
    """A moment for people, to the millisecond, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def duration(length_ms: int) -> str:
    """A length of time for people: `45 ms`, `2.31 s`, `4 min`, `3 h`, `12 d`."""
    if length_ms < 1_000:
        return f"{length_ms} ms"
    if length_ms < 60_000:
        return f"{length_ms / 1000:.2f} s"
    for unit, unit_ms, following in (("min", 60_000, 60), ("h", 3_600_000, 48), ("d", 86_400_000, 10**9)):
        if length_ms < unit_ms * following:
            return f"{length_ms // unit_ms} {unit}"
    return f"{length_ms} ms"
