"""When each attempt ran: a row a step, attempts on its upper lane, the undoing on the lower one, long waits folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_saga.orchestrator.dashboard.drawing.svg import MONO_PX, SMALL_PX, clip, element, path, text, title
from kafka_saga.orchestrator.dashboard.drawing.svg import number as n
from kafka_saga.orchestrator.operations.sagas.folded_time import TimeScale, scaled
from kafka_saga.orchestrator.operations.sagas.timeline import Bar, Ending, Timeline, busy
from kafka_saga.runtime.wording import duration

LANE = 18
_PAD = 5
_TOP = 28
_BAR = 12
_FOLD = 58
_FLOOR = 34
ROWS_MAX = 200
"""A page of more rows is no picture any more."""


@dataclass(frozen=True, slots=True)
class Row:
    """A step's row: its label, what stands below it, and the step's name in the time line."""

    step: str
    label: str
    sub: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """How wide a drawing is, and where it has its labels."""

    css: str
    width: float
    gutter: float
    name_above: bool = False
    fold: float = _FOLD
    floor: float = _FLOOR


WIDE = Shape("wide", 1136, 190)
TALL = Shape("tall", 358, 2, name_above=True, fold=34, floor=18)

_COLOURS = {
    Ending.DONE: ("success", "bar-ok"),
    Ending.AGAIN: ("failed", "bar-try"),
    Ending.FAILED: ("failed", "bar-bad"),
    Ending.IN_DOUBT: ("doubt", "bar-doubt"),
    Ending.UNDONE: ("undone", "bar-undo"),
    Ending.NOTHING: ("nothing", "bar-nothing"),
    Ending.PARKED: ("parked", "bar-park"),
    Ending.OPEN: ("progress", "bar-run"),
}


def gantt(line: Timeline, rows: Sequence[Row], shape: Shape = WIDE, *, true_scale: bool = False) -> str:
    """Draw `line`; with `true_scale` every wait is as long as it was."""
    scale = time_scale(line, shape, true_scale=true_scale)
    shown = list(rows)[:ROWS_MAX]
    head = 18 if shape.name_above else 0
    row_height = LANE * 2 + _PAD * 2 + head
    height = _TOP + row_height * len(shown) + 22
    parts = [*_grid(line, scale, shape, height)]
    for place, row in enumerate(shown):
        y = _TOP + place * row_height
        if place:
            parts.append(path(f"M0 {n(y)}H{n(shape.width)}", "row-line"))
        parts += _label(row, shape, y)
        parts += _bars(line, row, scale, shape, y + head + _PAD)
    label = "When each attempt ran and how long it waited"
    return element(
        "svg",
        *parts,
        class_=shape.css,
        viewBox=f"0 0 {n(shape.width)} {n(height)}",
        width=shape.width if shape.css == "wide" else None,
        role="img",
        aria_label=label,
    )


def time_scale(line: Timeline, shape: Shape = WIDE, *, true_scale: bool = False) -> TimeScale:
    """Where each moment lies in a drawing of this shape."""
    left = shape.gutter + (8 if shape.gutter > MONO_PX else 0)
    return scaled(
        busy(line),
        line.began_at,
        line.ended_at,
        left=left,
        room=shape.width - left - 38,
        fold_width=shape.fold,
        floor=shape.floor,
        fold=not true_scale,
    )


def _grid(line: Timeline, scale: TimeScale, shape: Shape, height: float) -> list[str]:
    """Folded waits with their length below, and when each stretch of work began."""
    parts, last_text = [], -100.0
    end_x = scale.pieces[-1].left + scale.pieces[-1].width
    whole = duration(line.ended_at - line.began_at)
    for piece in scale.folds:
        strip = {"x": piece.left + 5, "y": _TOP - 6, "width": max(4, piece.width - 10), "height": height - _TOP - 12}
        parts += [
            element("rect", class_="fold", rx=4, **strip),
            text(duration(piece.length_ms), piece.left + piece.width / 2, height - 4, "x mid"),
        ]
    for piece in scale.pieces:
        if piece.folded:
            continue
        parts.append(path(f"M{n(piece.left)} {n(_TOP - 6)}V{n(height - 18)}", "grid"))
        since = piece.began_at - line.began_at
        said = "0" if since <= 0 else f"+{duration(since)}"
        fits = piece.left - last_text > 52 and piece.left + len(said) * SMALL_PX + 8 < end_x - len(whole) * SMALL_PX
        if since <= 0 or fits:
            parts.append(text(said, piece.left, _TOP - 12, "x"))
            last_text = piece.left
    parts.append(path(f"M{n(end_x)} {n(_TOP - 6)}V{n(height - 18)}", "grid"))
    parts.append(text(f"+{whole}", min(end_x + 22, shape.width - 2), _TOP - 12, "x r"))
    return parts


def _label(row: Row, shape: Shape, y: float) -> list[str]:
    if shape.name_above:
        return [text(clip(row.label, shape.width - 8, MONO_PX), 2, y + 15, "n halo")]
    return [
        text(clip(row.label, shape.gutter - 24, MONO_PX), 14, y + 20, "n"),
        text(clip(row.sub, shape.gutter - 24, SMALL_PX), 14, y + 36, "x"),
    ]


def _bars(line: Timeline, row: Row, scale: TimeScale, shape: Shape, top: float) -> list[str]:
    bars = [bar for bar in line.bars if bar.step == row.step]
    taken = [
        (
            bar.back,
            scale.position(bar.began_at),
            max(scale.position(line.end_of(bar)), scale.position(bar.began_at) + 4),
        )
        for bar in bars
        if not bar.is_wait
    ]
    parts = []
    for bar in bars:
        x0, x1 = scale.position(bar.began_at), scale.position(line.end_of(bar))
        y = top + (LANE if bar.back else 0) + 2
        said = tip(row, bar, line)
        if bar.is_wait:
            if x1 - x0 > 5:
                wait = path(f"M{n(x0 + 2)} {n(y + _BAR / 2)}H{n(x1 - 2)}", "pause")
                parts.append(element("g", title(said), wait, class_="retry"))
            continue
        width = max(x1 - x0, 4)
        css, bar_css = _css(bar)
        drawn = _tag(x0, y, width, bar_css) if bar.back else _box(bar, x0, y, width, bar_css)
        label = _bar_text(bar, (x0, y, width), shape, taken)
        parts.append(element("g", title(said), drawn, label, class_=css))
    return parts


def tip(row: Row, bar: Bar, line: Timeline) -> str:
    """A bar in words: its step, which attempt, how it ended, after how long."""
    what = f"undo of {row.label}" if bar.back else row.label
    length = duration(line.end_of(bar) - bar.began_at)
    if bar.is_wait:
        return f"{what}: waits {length} before the next attempt"
    how = {Ending.AGAIN: "did not work", Ending.OPEN: "not answered yet"}.get(bar.ending, bar.ending.value)
    return f"{what}, attempt {bar.attempt}: {how}, {length}" + (f" ({bar.said})" if bar.said else "")


def bar_label(bar: Bar) -> str:
    """What stands beside a bar."""
    match bar.ending:
        case Ending.AGAIN:
            return str(bar.attempt)
        case Ending.FAILED:
            return f"{bar.attempt}, gives up" if bar.attempt > 1 else "refused"
        case Ending.OPEN:
            return "being undone" if bar.back else (f"attempt {bar.attempt}" if bar.attempt > 1 else "under way")
        case ending:
            return ending.value


def _css(bar: Bar) -> tuple[str, str]:
    if bar.back and bar.ending in (Ending.AGAIN, Ending.OPEN):
        return ("undone" if bar.ending is Ending.AGAIN else "undoing"), "bar-utry"
    return _COLOURS[bar.ending]


def _tag(x: float, y: float, width: float, css: str) -> str:
    point = min(7.0, width / 2)
    half = _BAR / 2
    return path(f"M{n(x)} {n(y + half)}l{n(point)}-{n(half)}H{n(x + width)}v{_BAR}H{n(x + point)}z", css)


def _box(bar: Bar, x: float, y: float, width: float, css: str) -> str:
    drawn = element("rect", class_=css, x=x, y=y, width=width, height=_BAR, rx=3)
    if bar.ending is not Ending.AGAIN or width <= 14:
        return drawn
    cross = element(
        "path",
        d=f"M{n(x + width - 9)} {n(y + 3)}l6 6m0-6l-6 6",
        stroke="currentColor",
        stroke_width=1.5,
        stroke_linecap="round",
    )
    return drawn + element("g", cross, class_="failed")


def _bar_text(bar: Bar, place: tuple[float, float, float], shape: Shape, taken: list[tuple[bool, float, float]]) -> str:
    """Inside an attempt that did not work; else right of the bar, else left of it, else only in its title."""
    x, y, width = place
    label = bar_label(bar)
    length = len(label) * SMALL_PX
    base = y + _BAR - 2.5
    if bar.ending is Ending.AGAIN:
        return text(label, x + (10 if bar.back else 5), base, "x c") if width > length + 24 else ""
    for side, begin, end in (("x halo", x + width + 6, x + width + 6 + length), ("x halo r", x - 6 - length, x - 6)):
        free = not any(back is bar.back and first < end and begin < last for back, first, last in taken)
        if begin > shape.gutter - 4 and end < shape.width - 2 and free:
            taken.append((bar.back, begin, end))
            return text(label, end if side.endswith("r") else begin, base, side)
    return ""
