"""Printing: tables for people, JSON for programs. Data goes to stdout, everything else to stderr.

What came from messages is hostile: control characters would steer the terminal, so they are printed as text.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kafka_saga.orchestrator.cli.options import Output
from kafka_saga.runtime.wording import plain
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
    "note": "dim",
    "warning": "yellow",
    "unreachable": "bold red",
    "wrong": "bold red",
    "unused": "yellow",
}

CELL_LENGTH_MAX = 64
"""One id of a hostile length must not push all other columns off the screen; JSON has it whole."""

WIDE = 4_000
"""Where no terminal cuts lines off: a file or a pipe gets each row on one line."""

Row = Mapping[str, Any]


PROSE_WIDTH_MIN = 20
"""Sentences in a narrower column are a word a line: then they stand below their row instead."""

_GAP = "  "

ERROR_LENGTH_MAX = 160
"""On a terminal, where an error is one cell of many: a few lines; JSON has it whole."""


def console(*, stderr: bool = False) -> Console:
    """A console of the terminal's width; of no width at all where the output is read by a program."""
    fixed = _has_width(sys.stderr if stderr else sys.stdout)
    return Console(stderr=stderr, width=None if fixed else WIDE, highlight=False, soft_wrap=False)


def _has_width(stream: TextIO) -> bool:
    return stream.isatty() or "COLUMNS" in os.environ


def print_rows(
    output: Output,
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
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
        screen = _has_width(sys.stdout)
        cells = [{column: _cell(row, column, prose, screen=screen) for column in columns} for row in rows]
        if screen:
            _print_table(columns, cells, prose)
        else:
            _print_lines(columns, cells)


def _cell(row: Row, column: str, prose: Sequence[str], *, screen: bool) -> str:
    whole = column in prose and not (screen and column == "error")
    return styled(row.get(column), None if whole else ERROR_LENGTH_MAX if column in prose else CELL_LENGTH_MAX).plain


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, str]], prose: Sequence[str]) -> None:
    """As wide as the terminal: sentences are folded in their columns; where these are narrow, they stand below."""
    lean = [column for column in columns if column not in prose]
    below = [column for column in columns if column in prose]
    out = console()
    taken = sum(_width(rows, column) + len(_GAP) for column in lean)
    if below and out.width - taken < PROSE_WIDTH_MIN * len(below):
        _print_stacked(out, lean, below, rows)
        return
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold" if column in prose else "ellipsis", no_wrap=column not in prose)
    for row in rows:
        table.add_row(*(styled(row[column]) for column in columns))
    out.print(table)


def _print_stacked(out: Console, lean: Sequence[str], below: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    widths = {column: _width(rows, column) for column in lean}
    out.print(_line(dict(zip(lean, lean, strict=True)), widths, "bold"), no_wrap=True, overflow="ellipsis")
    for row in rows:
        out.print(_line(row, widths), no_wrap=True, overflow="ellipsis")
        for column in below:
            print_indented(row[column], 4)


def _line(row: Mapping[str, str], widths: Mapping[str, int], style: str = "") -> Text:
    line = Text(style=style)
    for column, width in widths.items():
        line.append_text(styled(row[column])).append(" " * (width - cell_len(row[column])) + _GAP)
    line.rstrip()
    return line


def _print_lines(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """One line a row, its sentences whole, and no blanks at the end: one long error must not pad all lines."""
    widths = {column: _width(rows, column) for column in columns}
    for row in (dict(zip(columns, columns, strict=True)), *rows):
        text = _GAP.join(row[column].ljust(widths[column]) for column in columns)
        sys.stdout.write(f"{text.rstrip()}\n")


def _width(rows: Sequence[dict[str, str]], column: str) -> int:
    """The column's, but for cells that are longer than any name: these push only their own line aside."""
    cells = (column, *(row[column] for row in rows))
    return max(length for length in map(cell_len, cells) if length <= CELL_LENGTH_MAX)


def print_indented(text: str, indent: int) -> None:
    """A paragraph whose lines all begin `indent` columns from the left."""
    out, margin = console(), " " * indent
    for line in textwrap.wrap(
        plain(text), out.width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    ):
        out.print(Text(line), soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.buffer.write(encode(document) + b"\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """A remark for people, on stderr."""
    sys.stderr.write(f"{plain(message)}\n")


def styled(value: object, length_max: int | None = None) -> Text:
    """A cell's text, coloured where it is a state; cut where it is longer than `length_max`."""
    text = "" if value is None else plain(str(value))
    if length_max is not None and len(text) > length_max:
        text = f"{text[: length_max - 1]}…"
    return Text(text, style=STATE_STYLES.get(text.split(" ", 1)[0], ""))


def clock(at_ms: int) -> str:
    """A moment for people, to the millisecond, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def day_and_clock(at_ms: int) -> str:
    """A moment with its day, UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d} {clock(at_ms)}"
