"""The steps of a saga as a picture for a desk: out to the right, and back to the left on a lane of its own below."""

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
from kafka_saga.orchestrator.dashboard.drawing.lines import across, around, head_left, head_right
from kafka_saga.orchestrator.dashboard.drawing.nodes import box, box_height, tag, tag_height
from kafka_saga.orchestrator.dashboard.drawing.svg import MONO_PX, clip, desc, element, icon, path, text
from kafka_saga.orchestrator.dashboard.drawing.svg import number as n

WIDTH = 1136
SCALED_MAX = 1.12
"""A picture that is wider than the page is drawn smaller, but not so small that it cannot be read: then it scrolls."""

_CAPTION = 126
_END = 96
"""Room for the word where the way out ends."""

_NODE_MIN, _NODE_MAX = 160, 262
_GAP_MIN, _GAP_MAX = 52, 72
_TOP = 30
_PORT = 37
"""Where edges meet a box, from its top."""

_TAG_PORT = 33
_JOIN = 15
"""So far before a node its edges come together."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where everything lies."""

    arranged: Arrangement
    width: float
    gap: float
    tops: tuple[float, ...]
    undo_tops: dict[int, float]
    lane_top: float
    height: float
    total: float

    def x(self, number: int) -> float:
        return _CAPTION + 30 + self.arranged.column[number] * (self.width + self.gap)

    def y(self, number: int) -> float:
        return self.tops[self.arranged.row[number]]

    def port(self, number: int) -> float:
        return self.y(number) + _PORT

    def undo_y(self, number: int) -> float:
        return self.undo_tops[self.arranged.row[number]]

    def undo_port(self, number: int) -> float:
        return self.undo_y(number) + _TAG_PORT


def wide_graph(graph: Graph, label: str = "The steps and their undoing", description: str = "") -> str:
    """Draw `graph`."""
    places = _measure(graph)
    undos = [number for number, node in enumerate(graph.nodes) if node.undo is not None]
    parts = [text("way out →", 14, 16, "x")]
    if undos:
        lane = {"x": 0, "y": places.lane_top, "width": places.total, "height": places.height - places.lane_top}
        parts = [
            element("rect", class_="lane", rx=8, **lane),
            text("← way back: what was done is undone, last first", 14, places.lane_top + 19, "x"),
            *parts,
        ]
    lines, heads = _forward(graph, places)
    if undos:
        more_lines, more_heads = _back(graph, places, undos)
        lines, heads = lines + more_lines, heads + more_heads
    parts += [_start(graph.start, places), *_pivots(graph, places), *lines, *heads]
    for number, node in enumerate(graph.nodes):
        parts.append(box(node, places.x(number), places.y(number), places.width))
        if node.undo is not None:
            parts.append(tag(node, node.undo, places.x(number), places.undo_y(number), places.width))
    parts += [_undone(graph, places, undos), _reached(graph, places)]
    css = "wide" if places.total <= WIDTH * SCALED_MAX else "wide long"
    total, height = round(places.total), round(places.height)
    return element(
        "svg",
        desc(description),
        *parts,
        class_=css,
        viewBox=f"0 0 {total} {height}",
        width=total,
        role="group",
        aria_label=label,
    )


def _measure(graph: Graph) -> _Places:
    arranged = arrange(graph)
    columns, rows = max(1, arranged.columns), max(1, arranged.rows)
    longest = max((len(name) for node in graph.nodes for name in _names(node)), default=0)
    wanted = max(_NODE_MIN, min(_NODE_MAX, 58 + longest * MONO_PX))
    end = 0 if graph.way_out_ends is None else _END
    room = WIDTH - _CAPTION - 30 - 38 - end
    gap = max(_GAP_MIN, min(_GAP_MAX, (room - columns * wanted) / columns))
    width = max(wanted, min(_NODE_MAX, (room - (columns - 1) * gap) / columns))
    width, gap = round(width), round(gap)
    heights = [_tallest(graph, arranged, row) for row in range(rows)]
    tops = [_TOP + sum(heights[:row]) + 18 * row for row in range(rows)]
    bottom = tops[-1] + heights[-1]
    lane_top = bottom + 22
    undo_tops, y = {}, lane_top + 30
    for row in range(rows):
        tall = [
            tag_height(node.undo)
            for node, its_row in zip(graph.nodes, arranged.row, strict=True)
            if node.undo is not None and its_row == row
        ]
        if tall:
            undo_tops[row] = y
            y += max(tall) + 14
    height = y + 2 if undo_tops else bottom + 14
    total = _CAPTION + 30 + columns * (width + gap) - gap + 38 + end
    return _Places(arranged, width, gap, tuple(tops), undo_tops, lane_top, height, total)


def _names(node: object) -> list[str]:
    label, undo = getattr(node, "label", ""), getattr(node, "undo", None)
    return [label] if undo is None else [label, f"{undo.name}  "]


def _tallest(graph: Graph, arranged: Arrangement, row: int) -> float:
    heights = [box_height(node) for node, its_row in zip(graph.nodes, arranged.row, strict=True) if its_row == row]
    return max(heights, default=0)


def _forward(graph: Graph, places: _Places) -> tuple[list[str], list[str]]:
    """The edges of the way out; dashed where it has not been taken."""
    lines, heads = [], []

    def edge(x1: float, y1: float, number: int) -> None:
        x2, taken = places.x(number), graph.nodes[number].begun
        y2 = places.port(number)
        lines.append(path(across(x1, y1, x2 - 7, y2, x2 - _JOIN), "edge" if taken else "edge next"))
        heads.append(head_right(x2 - 1, y2, "head-f" if taken else "head-n"))

    for number, before in enumerate(places.arranged.before):
        if not before:
            edge(_CAPTION - 20, _start_y(places), number)
        for one in before:
            edge(places.x(one) + places.width, places.port(one), number)
    return lines, heads


def _back(graph: Graph, places: _Places, undos: list[int]) -> tuple[list[str], list[str]]:
    """The edges of the way back, and the turn onto it."""
    lines, heads = [], []
    for number in undos:
        for later in later_undos(graph, places.arranged, number):
            x2, y2 = places.x(number) + places.width, places.undo_port(number)
            d = across(places.x(later), places.undo_port(later), x2 + 8, y2, x2 + 16)
            lines.append(path(d, _back_css(graph, later)))
            heads.append(head_left(x2 + 1, y2))
    turned = next((place for place, node in enumerate(graph.nodes) if node.name == graph.turned_at), None)
    if turned is not None:
        last = places.arranged.column[turned] == places.arranged.columns - 1
        turn_x = places.x(turned) + places.width + (24 if last else 14)
        for number in undos:
            if not later_undos(graph, places.arranged, number):
                x2, y2 = places.x(number) + places.width, places.undo_port(number)
                begin_x, begin_y = places.x(turned) + places.width, places.port(turned) + 22
                lines.append(path(around(begin_x, begin_y, turn_x, x2 + 8, y2), "edge back"))
                heads.append(head_left(x2 + 1, y2))
    firsts = [number for number in undos if is_first_undo(graph, places.arranged, number)]
    end_y = _end_y(places, firsts)
    for number in firsts:
        d = across(places.x(number), places.undo_port(number), _CAPTION - 4, end_y, _CAPTION + 12)
        lines.append(path(d, _back_css(graph, number)))
    heads.append(head_left(_CAPTION - 12, end_y))
    return lines, heads


def _back_css(graph: Graph, number: int) -> str:
    undo = graph.nodes[number].undo
    settled = undo is not None and undo.status in SETTLED_UNDOS
    return "edge back" if settled else "edge back next"


def _start_y(places: _Places) -> float:
    return places.tops[0] + _PORT


def _end_y(places: _Places, firsts: list[int]) -> float:
    return places.undo_port(firsts[0]) if firsts else places.lane_top + 40


def _start(start: Terminus, places: _Places) -> str:
    y = _start_y(places)
    dot = element("g", element("circle", cx=20, cy=y, r=5, fill="currentColor"), class_="pending")
    word = text(clip(start.word, 68, 6.4), 32, _word_y(start, y), "b")
    return dot + word + text(clip(start.sub, 68, 5.7), 32, y + 13, "x")


def _word_y(terminus: Terminus, y: float) -> float:
    """Beside its mark, or above the middle where something stands below it."""
    return y - 2 if terminus.sub else y + 4


def _undone(graph: Graph, places: _Places, undos: list[int]) -> str:
    """Where the way back ends, at the left, so that the loop closes."""
    if not undos:
        return ""
    end = graph.end
    y = _end_y(places, [number for number in undos if is_first_undo(graph, places.arranged, number)])
    mark, word = icon(end.icon, 12, y - 8), text(clip(end.word, 76, 7.2), 32, _word_y(end, y), "b c")
    word = element("g", mark, word, class_=end.css)
    return word + text(clip(end.sub, 78, 5.9), 32, y + 13, "x")


def _reached(graph: Graph, places: _Places) -> str:
    """Where the way out ends, at the right."""
    end = graph.way_out_ends
    last = max(range(len(graph.nodes)), key=lambda one: places.arranged.column[one], default=None)
    if last is None or end is None:
        return ""
    y, right = _start_y(places), places.x(last) + places.width
    reached = end.css == "completed"
    line = path(f"M{n(right)} {n(y)}H{n(right + 17)}", "edge" if reached else "edge next")
    head = head_right(right + 24, y, "head-f" if reached else "head-n")
    word = element(
        "g", icon(end.icon, right + 30, y - 8), text(clip(end.word, 78, 6.6), right + 50, y + 4, "b c"), class_=end.css
    )
    return line + head + word


def _pivots(graph: Graph, places: _Places) -> list[str]:
    bottom = (
        max(places.y(number) + box_height(node) for number, node in enumerate(graph.nodes)) + 4 if graph.nodes else 0
    )
    found = []
    for number, node in enumerate(graph.nodes):
        if node.pivot:
            x = places.x(number) - 26
            found += [path(f"M{n(x)} 24V{n(bottom)}", "gate"), text("point of no return", x, 16, "x mid")]
    return found
