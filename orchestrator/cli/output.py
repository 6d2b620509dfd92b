"""Printing: tables for people, JSON for programs. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator.cli.options import Output
from schemas.codec import encode

STATE_STYLES = {
    "COMPLETED": "green",
    "COMPENSATED": "yellow",
    "PARKED": "bold red",
    "COMPENSATING": "yellow",
    "RUNNING": "cyan",
    "PENDING": "dim",
    "SUCCESS": "green",
    "FAILED": "red",
}


def print_rows(output: Output, columns: Sequence[str], rows: Iterable[dict[str, Any]], *, title: str = "") -> None:
    """Rows as a table, as one JSON array, or as one JSON object a line."""
    if output == "jsonl":
        for row in rows:
            print_json(row)
    elif output == "json":
        print_json(list(rows))
    else:
        table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(styled(row.get(column)) for column in columns))
        Console().print(table)


def print_json(document: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.buffer.write(encode(document) + b"\n")
    sys.stdout.flush()


def styled(value: object) -> str:
    """A cell's text, coloured where it is a state."""
    text = "" if value is None else str(value)
    style = STATE_STYLES.get(text)
    return f"[{style}]{text}[/]" if style else text.replace("[", r"\[")


def clock(at_ms: int) -> str:
    """A moment for people, to the millisecond, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
