"""How long work shows how far it is: a bar on stderr, on a terminal only, gone when the work is done."""

from __future__ import annotations

import sys

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from kafka_saga.orchestrator.cli.output import console


def progress_bar(*columns: ProgressColumn, worth_it: bool = True) -> Progress:
    """A bar to add one task to, whose description comes first.

    Args:
        columns: what stands after the description and the bar; without any, how many of how many, and since when.
        worth_it: show it at all; False where the work is over before anybody could read a bar.

    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(columns or counts()),
        console=console(stderr=True),
        disable=not sys.stderr.isatty() or not worth_it,
        transient=True,
    )


def counts() -> tuple[ProgressColumn, ...]:
    """How many of how many, and since when."""
    return MofNCompleteColumn(), TimeElapsedColumn()
