"""The steps of a saga for a narrow screen: out goes down at the left, back up at the right, each undo by its step."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_saga.orchestrator.dashboard.drawing.graph import (
    SETTLED_UNDOS,
    Arrangement,
    Graph,
    Terminus,
    arrange,
    is_first_undo,
    later_undos,
)
from kafka_saga.orchestrator.dashboard.drawing.lines import head_down, head_up
from kafka_saga.orchestrator.dashboard.drawing.nodes import box, box_height, upright_tag
from kafka_saga.orchestrator.dashboard.drawing.svg import clip, desc, element, icon, path, text
from kafka_saga.orchestrator.dashboard.drawing.svg import number as n

WIDTH = 358
_BOX_X, _BOX_WIDTH = 8, 186
_TAG_X, _TAG_WIDTH = 212, 132
_BOX_ALONE = 342
"""How wide a step's box is where nothing is undone."""

_TOP, _BETWEEN = 44, 22


@dataclass(frozen=True, slots=True)
class _Places:
    arranged: Arrangement
    tops: dict[int, float]
    heights: dict[int, float]
    order: list[int]
    height: float


def tall_graph(graph: Graph, label: str = "The steps and their undoing", description: str = "") -> str:
    """Draw `graph`, upright."""
    places = _measure(graph)
    undos = [number for number in places.order if graph.nodes[number].undo is not None]
    end = graph.end
    parts = []
    if undos:
        lane = {"x": _TAG_X - 8, "y": 0, "width": _TAG_WIDTH + 16, "height": places.height}
        word = text(clip(end.word, _TAG_WIDTH - 22, 6.6), _TAG_X + 21, 17, "b c")
        parts += [
            element("rect", class_="lane", rx=8, **lane),
            element("g", icon(end.icon, _TAG_X, 5), word, class_=end.css),
        ]
    start = f"{graph.start.word} {graph.start.sub}".strip()
    parts += [
        element("g", element("circle", cx=20, cy=13, r=5, fill="currentColor"), class_="pending"),
        text(clip(start, _BOX_WIDTH - 30 if undos else 300, 6.4), 32, 17, "b"),
        *_forward(graph, places),
    ]
    width = _BOX_WIDTH if undos else _BOX_ALONE
    for number in places.order:
        node, y = graph.nodes[number], places.tops[number]
        parts.append(box(node, _BOX_X, y, width))
        if node.pivot:
            gate = path(f"M{n(_BOX_X)} {n(y - 11)}H{n(_BOX_X + width)}", "gate")
            parts += [gate, text("point of no return", _BOX_X + 32, y - 7, "x halo")]
        if node.undo is not None:
            parts.append(upright_tag(node, node.undo, _TAG_X, y, width=_TAG_WIDTH, height=places.heights[number]))
    parts += _back(graph, places, undos)
    reached = graph.way_out_ends
    parts += [_turn(graph, places, undos)] if undos else []
    parts += [] if reached is None else [_reached(reached, places)]
    height = round(places.height + (0 if reached is None else 26))
    parts.insert(0, desc(description))
    return element("svg", *parts, class_="tall", viewBox=f"0 0 {WIDTH} {height}", role="group", aria_label=label)


def _measure(graph: Graph) -> _Places:
    arranged = arrange(graph)
    order = sorted(range(len(graph.nodes)), key=lambda one: (arranged.column[one], arranged.row[one]))
    tops, heights, y = {}, {}, float(_TOP)
    for number in order:
        tops[number], heights[number] = y, box_height(graph.nodes[number])
        y += heights[number] + _BETWEEN
    return _Places(arranged, tops, heights, order, y + 2)


def _forward(graph: Graph, places: _Places) -> list[str]:
    """One line down at the left: what is side by side on a desk stands here below each other, and says so."""
    parts = []
    above: int | None = None
    for number in places.order:
        y = places.tops[number]
        if above is not None and places.arranged.column[number] == places.arranged.column[above]:
            parts.append(text("at the same time", 32, y - 7, "x"))
        else:
            begun = graph.nodes[number].begun
            y0 = 19 if above is None else places.tops[above] + places.heights[above]
            line = path(f"M20 {n(y0)}V{n(y - 7)}", "edge" if begun else "edge next")
            parts += [line, head_down(20, y - 1, "head-f" if begun else "head-n")]
        above = number
    return parts


def _back(graph: Graph, places: _Places, undos: list[int]) -> list[str]:
    """Up from each undo to the one that follows on it; around those between them."""
    parts = []
    middle = _TAG_X + _TAG_WIDTH / 2
    for number in undos:
        followers = [one for one in undos if number in later_undos(graph, places.arranged, one)]
        targets: list[int | None] = [*followers]
        if is_first_undo(graph, places.arranged, number):
            targets.append(None)
        for target in targets:
            y0 = places.tops[number]
            y1 = 26.0 if target is None else places.tops[target] + places.heights[target]
            undo = graph.nodes[number].undo
            css = "edge back" if undo is not None and undo.status in SETTLED_UNDOS else "edge back next"
            if any(y1 <= places.tops[one] < y0 for one in undos if one != number):
                parts.append(path(_aside(middle, y0, y1, at_left=target is None), css))
                parts += [] if target is None else [head_up(middle, y1 + 1)]
            else:
                parts += [path(f"M{n(middle)} {n(y0)}V{n(y1 + 8)}", css), head_up(middle, y1 + 1)]
    return parts


def _aside(middle: float, y0: float, y1: float, *, at_left: bool) -> str:
    """Up beside the tags in between."""
    x, r = (_TAG_X - 5, -6) if at_left else (_TAG_X + _TAG_WIDTH + 5, 6)
    m, s = n(middle), n(x)
    return (
        f"M{m} {n(y0)}V{n(y0 - 2)}Q{m} {n(y0 - 8)} {n(middle + r)} {n(y0 - 8)}"
        f"H{n(x - r)}Q{s} {n(y0 - 8)} {s} {n(y0 - 14)}V{n(y1 + 20)}"
        f"Q{s} {n(y1 + 14)} {n(x - r)} {n(y1 + 14)}H{n(middle + r)}Q{m} {n(y1 + 14)} {m} {n(y1 + 9)}"
    )


def _turn(graph: Graph, places: _Places, undos: list[int]) -> str:
    """From the step whose failure turned the saga to every undo that waits for no other."""
    turned = next((place for place, node in enumerate(graph.nodes) if node.name == graph.turned_at), None)
    if turned is None:
        return ""
    right, y = _BOX_X + _BOX_WIDTH, places.tops[turned] + 50
    parts = []
    for number in undos:
        if later_undos(graph, places.arranged, number):
            continue
        if number == turned:
            line = path(f"M{n(right)} {n(y)}H{n(_TAG_X - 7)}", "edge back")
            parts += [line, path(f"M{n(_TAG_X - 1)} {n(y)}l-8-4.5v9z", "head-b")]
        elif places.tops[number] < places.tops[turned] and number == undos[-1]:
            middle, below = _TAG_X + _TAG_WIDTH / 2, places.tops[number] + places.heights[number]
            d = f"M{n(right)} {n(y)}H{n(middle - 12)}Q{n(middle)} {n(y)} {n(middle)} {n(y - 12)}V{n(below + 8)}"
            parts += [path(d, "edge back"), head_up(middle, below + 1)]
        else:
            x, to = _TAG_X - 9, places.tops[number] + 40
            up = 1 if to > y else -1
            bend = f"M{n(right)} {n(y)}H{n(x - 6)}Q{n(x)} {n(y)} {n(x)} {n(y + up * 6)}"
            d = f"{bend}V{n(to - up * 6)}Q{n(x)} {n(to)} {n(x + 6)} {n(to)}"
            parts += [path(d, "edge back"), path(f"M{n(_TAG_X - 1)} {n(to)}l-6-4v8z", "head-b")]
    return "".join(parts)


def _reached(end: Terminus, places: _Places) -> str:
    """Where the way out ends."""
    y = places.height - 4
    reached = end.css == "completed"
    above = places.tops[places.order[-1]] + places.heights[places.order[-1]] if places.order else 19
    line = path(f"M20 {n(above)}V{n(y - 5)}", "edge" if reached else "edge next")
    head = head_down(20, y + 1, "head-f" if reached else "head-n")
    return line + head + element("g", icon(end.icon, 12, y + 3), text(end.word, 34, y + 16, "b c"), class_=end.css)
