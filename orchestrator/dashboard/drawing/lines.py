"""Edges: right angles with round corners, and their heads."""

from __future__ import annotations

from kafka_saga.orchestrator.dashboard.drawing.svg import number as n
from kafka_saga.orchestrator.dashboard.drawing.svg import path

RADIUS = 8.0
TURN_RADIUS = 12.0


def across(x1: float, y1: float, x2: float, y2: float, turn_x: float) -> str:
    """From (x1, y1) to (x2, y2), sideways but for one piece at `turn_x`."""
    if y1 == y2:
        return f"M{n(x1)} {n(y1)}H{n(x2)}"
    way = 1 if x2 > x1 else -1
    down = 1 if y2 > y1 else -1
    r = max(0.0, min(RADIUS, abs(y2 - y1) / 2, abs(turn_x - x1), abs(x2 - turn_x)))
    return (
        f"M{n(x1)} {n(y1)}H{n(turn_x - way * r)}Q{n(turn_x)} {n(y1)} {n(turn_x)} {n(y1 + down * r)}"
        f"V{n(y2 - down * r)}Q{n(turn_x)} {n(y2)} {n(turn_x + way * r)} {n(y2)}H{n(x2)}"
    )


def around(x1: float, y1: float, turn_x: float, x2: float, y2: float) -> str:
    """Out to `turn_x` at the right, down or up, and back to (x2, y2): the turn from the way out to the way back."""
    down = 1 if y2 > y1 else -1
    r = min(TURN_RADIUS, abs(y2 - y1) / 2, abs(turn_x - x1))
    return (
        f"M{n(x1)} {n(y1)}H{n(turn_x - r)}Q{n(turn_x)} {n(y1)} {n(turn_x)} {n(y1 + down * r)}"
        f"V{n(y2 - down * r)}Q{n(turn_x)} {n(y2)} {n(turn_x - r)} {n(y2)}H{n(x2)}"
    )


def head_right(x: float, y: float, css: str = "head-f") -> str:
    """An arrow's head whose tip is at (x, y)."""
    return path(f"M{n(x)} {n(y)}l-8-4.5v9z", css)


def head_left(x: float, y: float, css: str = "head-b") -> str:
    """An arrow's head whose tip is at (x, y)."""
    return path(f"M{n(x)} {n(y)}l8-4.5v9z", css)


def head_down(x: float, y: float, css: str = "head-f") -> str:
    """An arrow's head whose tip is at (x, y)."""
    return path(f"M{n(x)} {n(y)}l-4.5-8h9z", css)


def head_up(x: float, y: float, css: str = "head-b") -> str:
    """An arrow's head whose tip is at (x, y)."""
    return path(f"M{n(x)} {n(y)}l-4.5 8h9z", css)
