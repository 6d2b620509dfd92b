"""The lines of many processes on one screen, each with its name before it and in its own colour on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from kafka_saga.orchestrator.supervisor.lines import Line

_COLOURS = ("cyan", "green", "magenta", "blue", "yellow")
_LEVEL_STYLES = {"error": "bold red", "critical": "bold red", "warning": "yellow", "debug": "dim"}
_NAME_WIDTH = 12


class _PatientConsole(Console):
    """Whoever read our lines may go: the processes whose lines they were go on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class ProcessScreen:
    """Prints on standard error; `raw` prints our log lines as the JSON that they are."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._console = _PatientConsole(stderr=True, highlight=False, soft_wrap=True)
        self._styles: dict[str, str] = {}

    def show(self, line: Line) -> None:
        """One line of a process."""
        if self._raw:
            self._print(Text(line.text))
            return
        self._put(line.process, line.readable(), _LEVEL_STYLES.get(line.level, "") if line.record else "")

    def tell(self, text: str, style: str, record: Mapping[str, Any]) -> None:
        """What became of a saga; where our log lines are shown raw, `record` as one more of them."""
        if self._raw:
            self._console.print(Text(orjson.dumps(record).decode()))
        else:
            self._put("saga", text, style)

    def say(self, text: str, style: str = "bold") -> None:
        """A word of our own among the lines."""
        for line in text.splitlines():
            self._put("saga up", line, style)

    def _put(self, name: str, text: str, style: str) -> None:
        if name not in self._styles:
            self._styles[name] = "bold" if name == "saga up" else _COLOURS[len(self._styles) % len(_COLOURS)]
        self._print(Text.assemble((f"{name:<{_NAME_WIDTH}} │ ", self._styles[name]), (text, style)))

    def _print(self, text: Text) -> None:
        with suppress(OSError):  # a full disk or a lost terminal: nobody who reads a child's lines may stop
            self._console.print(text)
