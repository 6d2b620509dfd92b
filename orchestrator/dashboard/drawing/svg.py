"""SVG as text: elements, numbers, and text that is cut to the room it has. Whatever comes from data is escaped here."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from kafka_saga.runtime.wording import plain

MONO_PX: Final = 7.53
"""A character of a node's name: 12.5 px of a fixed width, so that the server can measure it."""

TEXT_PX: Final = 5.9
"""About a character of 12 px; a little wide, so that nothing runs over its box."""

SMALL_PX: Final = 5.7
WORD_PX: Final = 7.15
"""A capital letter of a status at 10.5 px."""


def number(value: float) -> str:
    """A coordinate, without more digits than can be seen."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def element(name: str, *children: str, **attributes: object) -> str:
    """One element. `class_` is `class`, `_` in a name is `-`; attributes that are None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(children)
    return f"<{name}{given}>{inner}</{name}>" if inner else f"<{name}{given}/>"


def written(content: str) -> str:
    """Text from data: escaped, and without characters that steer terminals or that XML does not know."""
    return escape(plain(content))


def text(content: str, x: float, y: float, css: str | None = None) -> str:
    """A line of text."""
    return element("text", written(content), class_=css, x=x, y=y)


def title(content: str) -> str:
    """What a pointer that rests sees, and a screen reader hears."""
    return element("title", written(content))


def desc(content: str) -> str:
    """What a whole picture shows, for whoever does not see it; nothing where there is no text."""
    return element("desc", written(content)) if content else ""


def path(d: str, css: str) -> str:
    """A line or an outline."""
    return element("path", class_=css, d=d)


def icon(name: str, x: float, y: float, size: float = 16) -> str:
    """A symbol of the page's sprite."""
    return element("use", href=f"#i-{name}", x=x, y=y, width=size, height=size)


def clip(content: str, room: float, per: float = TEXT_PX) -> str:
    """As much of `content` as `room` pixels hold at `per` pixels a character; one line."""
    line = " ".join(content.split())
    length = int(room / per)
    if len(line) <= length:
        return line
    return "" if length < 1 else f"{line[: length - 1].rstrip()}…"


def word_width(word: str) -> float:
    """About how wide a status is, with the blank after it."""
    return len(word) * WORD_PX + 5


def _value(value: object) -> str:
    return number(value) if isinstance(value, int | float) else written(str(value))


def anchor(*parts: object) -> str:
    """An id for a fragment of the page; what ids do not take becomes `-`."""
    return "-".join(re.sub(r"[^A-Za-z0-9_-]", "-", str(part)) for part in parts)
