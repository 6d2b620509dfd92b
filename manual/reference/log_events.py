"""Every log event, by what it is about."""

from __future__ import annotations

from kafka_saga.runtime.log_events import log_events
from manual.reference.tables import code, table

HEAD = """# Log events

What a line's `event` may be, in the order of the alphabet. Names are stable. What else a line carries, and what it
never shows: [logs](../logs.md).

"""


def page() -> str:
    """The page."""
    rows = [(code(event.name), event.level, event.meaning) for event in sorted(log_events())]
    return HEAD + table(["event", "level", "what it means"], rows)
