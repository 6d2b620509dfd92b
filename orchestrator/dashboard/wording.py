"""Numbers and lengths of time as a page says them."""

from __future__ import annotations

from datetime import UTC, datetime

_NARROW_SPACE = "\u202f"
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def length(duration_ms: int) -> str:
    """`111 ms`, `7.2 s`, `12 min`, `3.5 h`, `18 d`."""
    if duration_ms < _SECOND:
        return f"{max(0, duration_ms)} ms"
    if duration_ms < _MINUTE:
        return f"{duration_ms / _SECOND:.2f} s" if duration_ms < 10 * _SECOND else f"{duration_ms / _SECOND:.1f} s"
    if duration_ms < _HOUR:
        return f"{duration_ms // _MINUTE} min"
    if duration_ms < _DAY:
        return f"{duration_ms / _HOUR:.1f} h"
    return f"{duration_ms // _DAY} d"


def age(duration_ms: int) -> str:
    """A length of time of something that goes on, without what changes too fast to read."""
    return length(duration_ms) if duration_ms >= _MINUTE else f"{max(0, duration_ms) // _SECOND} s"


def number(value: int) -> str:
    """`412 907`, with narrow spaces."""
    return f"{value:,}".replace(",", _NARROW_SPACE)


def compact(value: int) -> str:
    """A number where room is short: `980`, `41k`, `1.2M`."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            tenths = value * 10 // size
            return f"{tenths / 10:g}{letter}" if tenths < 100 else f"{tenths // 10}{letter}"
    return str(value)


def clock(at_ms: int, now_ms: int) -> str:
    """A moment as UTC's clock shows it, with its date where that is not today's. A script makes it the reader's."""
    at, now = (datetime.fromtimestamp(moment / 1000, UTC) for moment in (at_ms, now_ms))
    return at.strftime("%H:%M:%S") if at.date() == now.date() else at.strftime("%Y-%m-%d %H:%M")


def share(part: int, whole: int) -> str:
    """`98.1 %` of a whole that is not 0."""
    return f"{100 * part / whole:.1f} %"


def utc(at_ms: int) -> str:
    """A moment with its day, to the millisecond, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
