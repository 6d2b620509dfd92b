"""What a supervised process says, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_HIDDEN = frozenset({"event", "level", "timestamp", "process", "component"})
_ERROR_LEVELS = frozenset({"error", "critical"})

_GROUP_FRAME = " |+-"
"""What Python draws around the tracebacks of an error group; its last line is nothing else."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a process's output; `record` is what it logged, where the line is one of our log lines."""

    process: str
    text: str
    record: Mapping[str, Any] | None = None

    @property
    def event(self) -> str | None:
        """The event that the line logs."""
        return None if self.record is None else str(self.record.get("event"))

    @property
    def level(self) -> str:
        """Its level; what is no log line of ours is said by the process itself, and matters."""
        return "error" if self.record is None else str(self.record.get("level", "info"))

    @property
    def is_error(self) -> bool:
        """Whether it may be why the process died."""
        return self.level in _ERROR_LEVELS

    def last_words(self) -> str:
        """The line as a reason for the process's end; "" where it is only the frame around a group of errors."""
        return self.readable() if self.record is not None else self.text.lstrip(_GROUP_FRAME)

    def readable(self) -> str:
        """The line for people: `10:42:07.123 orchestrator.ready sagas=['order']`."""
        if self.record is None:
            return self.text
        at = str(self.record.get("timestamp", ""))[11:23]
        details = " ".join(f"{name}={value}" for name, value in self.record.items() if name not in _HIDDEN)
        level = "" if self.level in {"info", "debug"} else f"{self.level.upper()} "
        return f"{at} {level}{self.event} {details}".strip()


def read_line(process: str, raw: bytes) -> Line:
    """A line of output, as it was written."""
    text = raw.decode(errors="replace").rstrip()
    if text.startswith("{"):
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError:
            record = None
        if isinstance(record, dict) and "event" in record:
            return Line(process, text, record)
    return Line(process, text)
