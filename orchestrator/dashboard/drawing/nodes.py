"""One step as a box, and its undoing as a tag that points back."""

from __future__ import annotations

from collections import Counter

from kafka_saga.orchestrator.dashboard.drawing.graph import ITEMS_SHOWN_MAX, Counts, Node, Undo
from kafka_saga.orchestrator.dashboard.drawing.svg import (
    MONO_PX,
    SMALL_PX,
    TEXT_PX,
    clip,
    element,
    icon,
    path,
    text,
    title,
    word_width,
    written,
)
from kafka_saga.orchestrator.dashboard.drawing.svg import number as n
from kafka_saga.orchestrator.dashboard.vocabulary import Look, counted_as, step_look
from kafka_saga.orchestrator.dashboard.wording import compact

BOX_HEIGHT = 74
TAG_HEIGHT = 66
ITEMS_HEIGHT = 34
"""What a fan-out's icons add to either."""

COUNTS_HEIGHT = 26
"""What a row of counts adds: it is there also where all are 0, so that nothing moves when a saga comes."""

_SLANT = 15
_ROUND = 7


def box_height(node: Node) -> float:
    """How tall a step's box is."""
    return BOX_HEIGHT + (ITEMS_HEIGHT if node.items else 0) + (0 if node.counts is None else COUNTS_HEIGHT)


def tag_height(undo: Undo) -> float:
    """How tall an undo's tag is."""
    return TAG_HEIGHT + (ITEMS_HEIGHT + 4 if undo.items else 0) + (0 if undo.counts is None else COUNTS_HEIGHT)


def box(node: Node, x: float, y: float, width: float) -> str:
    """A step, going forward."""
    word = step_look(node.drawn_as or node.status)
    height = box_height(node)
    parts = [
        element("rect", class_="box-f", x=x, y=y, width=width, height=height, rx=9),
        icon(word.icon, x + 11, y + 11),
        text(clip(node.label, width - 41, MONO_PX), x + 35, y + 24, "n"),
        _status_line(node.status, node.text or word.plain, x + 35, y + 42, width - 35),
        text(clip(node.sub, width - 44, SMALL_PX), x + 35, y + 59, "x"),
    ]
    if node.items:
        parts.append(_items(node.items, node.name, x + 10, y + 68, width - 20))
    said = spoken(node.label, node.status, node.text or word.plain, node.sub)
    if node.counts is not None:
        parts.append(_counts(node.counts, x + 35, y + height - 12, width - 44))
        said = f"{said}; {counted(node.counts)}"
    return linked(parts, f"node {word.css}", node.href, said)


def tag(node: Node, undo: Undo, x: float, y: float, width: float) -> str:
    """A step's undoing."""
    word = step_look(undo.drawn_as or undo.status)
    height = tag_height(undo)
    parts = [
        path(_tag_outline(x, y, width, height), "tag-f"),
        icon(word.icon, x + 19, y + 9),
        text(clip(undo.name, width - 52, MONO_PX), x + 42, y + 22, "n"),
        _status_line(undo.status, undo.text or word.plain, x + 42, y + 40, width - 42),
        text(clip(undo.sub, width - 50, SMALL_PX), x + 42, y + 56, "x"),
    ]
    if undo.items:
        parts.append(_items(undo.items, f"undo of {node.name}", x + 26, y + 66, width - 36))
    if undo.counts is not None:
        parts.append(_counts(undo.counts, x + 42, y + height - 12, width - 50))
    return linked(parts, f"node {word.css}", node.undo_href, _said_of_undo(node, undo, word))


def upright_tag(node: Node, undo: Undo, x: float, y: float, *, width: float, height: float) -> str:
    """A step's undoing that points up, beside its step, for narrow screens."""
    word = step_look(undo.drawn_as or undo.status)
    parts = [
        path(_upright_outline(x, y, width, height), "tag-f"),
        icon(word.icon, x + 9, y + 17),
        text(clip(undo.name, width - 34, 6.93), x + 30, y + 30, "n ns"),
        text(clip(undo.status, width - 14, WORD_TIGHT), x + 10, y + 48, "w"),
        text(clip(undo.text or word.plain, width - 14, SMALL_PX), x + 10, y + 63, "x"),
    ]
    if undo.items:
        parts.append(_items(undo.items, f"undo of {node.name}", x + 6, y + 72, width - 12))
    if undo.counts is not None:
        parts.append(_counts(undo.counts, x + 10, y + height - 12, width - 14))
    return linked(parts, f"node {word.css}", node.undo_href, _said_of_undo(node, undo, word))


WORD_TIGHT = 6.6
"""A capital letter of a status where room is short."""


def linked(parts: list[str], css: str, href: str, said: str) -> str:
    """A group that says what it is; a link where it leads somewhere."""
    if href:
        return element("a", title(said), *parts, class_=css, href=href, aria_label=said)
    return element("g", title(said), *parts, class_=css, role="img", aria_label=said)


def counted(counts: Counts) -> str:
    """Counts in words, without those that are 0."""
    said = [f"{count} {counted_as(status)}" for status, count in counts if count]
    return ", ".join(said) or NOBODY


NOBODY = "no saga is here"


def _said_of_undo(node: Node, undo: Undo, word: Look) -> str:
    said = spoken(f"undo of {node.label}, {undo.name}", undo.status, undo.text or word.plain, undo.sub)
    return said if undo.counts is None else f"{said}; {counted(undo.counts)}"


def spoken(label: str, status: str, plain: str, sub: str) -> str:
    """What a node says, whole: nothing of it is cut."""
    rest = ", ".join(part for part in (status, plain, sub) if part)
    return f"{label}: {rest}" if rest else label


def _status_line(status: str, plain: str, x: float, y: float, room: float) -> str:
    word = clip(status, room - 8, 7.15)
    left = room - word_width(word) - 10
    said = clip(plain, left, TEXT_PX)
    spans = f'<tspan class="w">{written(word)}</tspan>' + (f'<tspan dx="6">{written(said)}</tspan>' if said else "")
    return f'<text x="{n(x)}" y="{n(y)}">{spans}</text>'


def _items(items: tuple[str, ...], name: str, x: float, y: float, room: float) -> str:
    """An icon an item; where there are many, an icon a status and how many have it."""
    many = len(items) > ITEMS_SHOWN_MAX
    shown = list(Counter(items).items()) if many else [(status, number) for number, status in enumerate(items)]
    cell = room / max(1, len(shown))
    parts = []
    for place, (status, number) in enumerate(shown):
        word = step_look(status)
        middle = x + place * cell + cell / 2
        said = f"{number} of {name}: {status}" if many else f"{name}.{number}: {status}, {word.plain}"
        label = f"{number}" if many else f".{number}"
        mark = icon(word.icon, middle - 8, y)
        parts.append(element("g", title(said), mark, text(label, middle, y + 30, "x mid"), class_=word.css))
    return "".join(parts)


def _counts(counts: Counts, x: float, base: float, room: float) -> str:
    """An icon a status with the number beside it; what has no room is in the title, and so is what a dash means."""
    parts, left = [], x
    for status, count in counts:
        label = compact(count)
        width = 22 + len(label) * MONO_PX + 8
        if count and left + width <= x + room + 8:
            word = step_look(status)
            mark = icon(word.icon, left, base - 12, 14) + text(label, left + 19, base, "b c")
            parts.append(element("g", mark, class_=word.css))
            left += width
    return "".join(parts) if any(count for _, count in counts) else text("–", x, base, "x")


def _tag_outline(x: float, y: float, w: float, h: float) -> str:
    middle = min(h / 2, TAG_HEIGHT / 2)
    right, bottom = x + w, y + h
    tail = f"V{n(y + 2 * middle)}" if h > TAG_HEIGHT else ""
    corner = (
        f"H{n(x + _SLANT + _ROUND)}Q{n(x + _SLANT)} {n(bottom)} {n(x + _SLANT)} {n(bottom - _ROUND)}" if tail else ""
    )
    return (
        f"M{n(x)} {n(y + middle)}L{n(x + _SLANT)} {n(y)}H{n(right - _ROUND)}"
        f"Q{n(right)} {n(y)} {n(right)} {n(y + _ROUND)}V{n(bottom - _ROUND)}"
        f"Q{n(right)} {n(bottom)} {n(right - _ROUND)} {n(bottom)}"
        f"{corner + tail if tail else f'H{n(x + _SLANT)}'}Z"
    )


def _upright_outline(x: float, y: float, w: float, h: float) -> str:
    right, bottom = x + w, y + h
    return (
        f"M{n(x + w / 2)} {n(y)}L{n(right)} {n(y + 13)}V{n(bottom - _ROUND)}Q{n(right)} {n(bottom)} "
        f"{n(right - _ROUND)} {n(bottom)}H{n(x + _ROUND)}Q{n(x)} {n(bottom)} {n(x)} {n(bottom - _ROUND)}V{n(y + 13)}Z"
    )
