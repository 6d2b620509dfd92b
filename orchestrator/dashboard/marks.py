"""Small pieces of HTML that stand on every page: a shape, a status, a moment. What is said in them is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from markupsafe import Markup

from kafka_saga.orchestrator.dashboard import wording
from kafka_saga.orchestrator.dashboard.vocabulary import Look, saga_look, step_look
from kafka_saga.runtime.clock import rfc3339


def icon(name: str, css: str = "ic") -> Markup:
    """A shape of the sprite."""
    return Markup('<svg class="{}" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-{}"/></svg>').format(css, name)


def badge(state: str) -> Markup:
    """A saga's state: shape and word."""
    look = saga_look(state)
    return Markup('<span class="badge {}">{}{}</span>').format(look.css, icon(look.icon), state)


def shape(look: Look) -> Markup:
    """A shape in its colour."""
    return Markup('<span class="{}">{}</span>').format(look.css, icon(look.icon))


def status(look: Look, text: str) -> Markup:
    """A shape and what it means."""
    return Markup('<span class="st {}">{}<span>{}</span></span>').format(look.css, icon(look.icon), text)


def path_strip(statuses: Iterable[str]) -> Markup:
    """The steps of a saga, one shape each."""
    looks = [(status, step_look(status)) for status in statuses]
    words = ", ".join(f"{number} {look.plain or status}" for number, (status, look) in enumerate(looks, 1))
    shapes = Markup("").join(shape(look) for _, look in looks)
    return Markup('<span class="path" role="img" aria-label="{0}" title="{0}">{1}</span>').format(words, shapes)


def moment(at_ms: int, now_ms: int) -> Markup:
    """A moment: the reader's own time once the script has run, UTC on hover."""
    return _time(at_ms, "clock", wording.clock(at_ms, now_ms))


def iso_moment(at: str, now_ms: int) -> Markup:
    """A moment that is given as RFC 3339."""
    return moment(int(datetime.fromisoformat(at).timestamp() * 1000), now_ms)


def since(at_ms: int, now_ms: int) -> Markup:
    """How long ago something was; it goes on."""
    return _time(at_ms, "age", wording.age(now_ms - at_ms))


def until(at_ms: int, now_ms: int) -> Markup:
    """How long it is until something happens; it counts down."""
    left_ms = at_ms - now_ms
    return _time(at_ms, "left", f"in {wording.age(left_ms)}" if left_ms > 0 else "now")


def _time(at_ms: int, shown_as: str, text: str) -> Markup:
    utc = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return Markup('<time datetime="{}" title="{} UTC" data-as="{}">{}</time>').format(
        rfc3339(at_ms), utc, shown_as, text
    )
