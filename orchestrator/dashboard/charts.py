"""Charts as SVG: every place in them is an attribute, so that pages need no inline style."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from kafka_saga.orchestrator.dashboard.wording import number
from kafka_saga.orchestrator.operations.sagas.pulse import Flow
from kafka_saga.orchestrator.operations.sagas.trend import TREND_MS, Curve

_GUTTER, _TOP, _OUT, _BACK, _FOOT = 46, 22, 117, 48, 24
"""Pixels: at the left, above, for what completed, for what was undone, below."""


def flow_chart(flow: Sequence[Flow], *, width: int, css: str) -> Markup:
    """What ended in each minute: completed upwards, undone downwards on a scale of its own."""
    room = width - _GUTTER - 8
    step = room / max(1, len(flow))
    most = _rounded(max((one.completed or 0 for one in flow), default=0))
    most_undone = _rounded(max((one.undone or 0 for one in flow), default=0))
    zero = _TOP + _OUT
    parts = [
        _line(width, _TOP, number(most)),
        _line(width, _TOP + _OUT / 2, number(most // 2)) if most > 1 else Markup(""),
        _line(width, zero, "0"),
        _line(width, zero + _BACK, number(most_undone)),
    ]
    now = flow[-1].minute if flow else 0
    for place, one in enumerate(flow):
        x, bar = _GUTTER + place * step + step * 0.12, step * 0.76
        if one.completed is None or one.undone is None:
            parts.append(_rect("fold", x, _TOP, bar, _OUT, said="not counted yet"))
            continue
        up, down = _OUT * one.completed / most, _BACK * one.undone / most_undone
        said = f"{_ago(now - one.minute)}: {number(one.completed)} completed, {number(one.undone)} undone"
        bars = _rect("bar-calm", x, zero - up, bar, up) + _rect("bar-undo", x, zero + 1, bar, down)
        parts.append(Markup("<g><title>{}</title>{}</g>").format(said, bars))
    height = zero + _BACK + _FOOT
    ticks = ((0, f"{len(flow)} min ago"), (len(flow) // 2, f"{len(flow) // 2} min ago"), (len(flow), "now"))
    for place, text in ticks:
        end = " r" if place == len(flow) else " mid" if place else ""
        at = f"{_GUTTER + place * step:.1f}"
        parts.append(Markup('<text class="x{}" x="{}" y="{}">{}</text>').format(end, at, height - 4, text))
    done, undone = (sum(getattr(one, name) or 0 for one in flow) for name in ("completed", "undone"))
    label = f"In the last {len(flow)} minutes {number(done)} sagas completed and {number(undone)} were undone"
    return Markup('<svg class="{}" viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">{}</svg>').format(
        css, width, height, width, label, Markup("").join(parts)
    )


SPARK_WIDTH, SPARK_HEIGHT = 120, 24


def sparkline(curve: Curve, said: str) -> Markup:
    """A rate's last quarter of an hour beside its number, as high as its highest; `said` says what it is a rate of."""
    top, room = 2, SPARK_HEIGHT - 4
    highest = max(curve.highest, 1e-9)
    points = " ".join(
        f"{SPARK_WIDTH * (1 - ago / TREND_MS):.1f},{top + room * (1 - rate / highest):.1f}"
        for ago, rate in curve.points
    )
    label = f"{said} each second in the last {TREND_MS // 60_000} minutes: " + (
        f"{curve.points[-1][1]:.1f} now, {curve.highest:.1f} at most" if curve.points else "not known yet"
    )
    drawn = Markup('<polyline class="spark" points="{}" vector-effect="non-scaling-stroke"/>').format(points)
    return Markup(
        '<svg class="sparkline" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="grid" d="M0 {}.5H{}" vector-effect="non-scaling-stroke"/>{}</svg>'
    ).format(SPARK_WIDTH, SPARK_HEIGHT, label, SPARK_HEIGHT - 2, SPARK_WIDTH, drawn if points else "")


def _line(width: int, y: float, text: str) -> Markup:
    return Markup('<path class="grid" d="M{0} {1:.1f}H{2}"/><text class="x r" x="{3}" y="{4:.1f}">{5}</text>').format(
        _GUTTER, y, width - 8, _GUTTER - 8, y + 4, text
    )


def _rect(css: str, x: float, y: float, width: float, height: float, *, said: str = "") -> Markup:
    title = Markup("<title>{}</title>").format(said) if said else Markup("")
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1">{}</rect>').format(
        css, x, y, width, height, title
    )


def _ago(minutes: int) -> str:
    return f"{minutes} min ago" if minutes else "this minute"


def _rounded(most: int) -> int:
    """The next number that reads well: 1, 2 or 5 with zeros, or twice or half of one."""
    scale = 1
    while True:
        for step in (1, 2, 4, 5):
            if most <= step * scale:
                return step * scale
        scale *= 10
