"""Whether another site's page sent a request, by what the browser says of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_saga.orchestrator.http.security.hosts import is_same

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing."""

_OURS = frozenset({"same-origin", "none"})
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""What any page may send anywhere without asking first."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of where a request came from. Of each header, every value that was sent."""

    method: str
    host: str
    origin: Sequence[str] = ()
    site: Sequence[str] = ()
    mode: Sequence[str] = ()
    dest: Sequence[str] = ()
    content_type: str = ""
    has_cookie: bool = False

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE_METHODS


def why_foreign(sent: Sent) -> str | None:
    """Why the request is not one of our own pages', nor of a program; None where it may be.

    A link on another site may lead here: the browser then shows our page, and the other site sees nothing of it.
    """
    if any(len(values) > 1 for values in (sent.origin, sent.site, sent.mode, sent.dest)):
        return "a header that says where it comes from is there twice"
    origin = sent.origin[0] if sent.origin else None
    if origin is not None and not is_same(origin, sent.host):
        return f"it comes from a page of {origin[:100]!r}"
    site = sent.site[0] if sent.site else None
    if site is None or site in _OURS:
        return None
    opens_page = sent.is_safe and [*sent.mode] == ["navigate"] and [*sent.dest] == ["document"]
    return None if opens_page else "it comes from a page of another site"


def needs_proof(sent: Sent) -> bool:
    """Whether a request that changes something must carry a token of one of our pages.

    Everything that a browser may have sent, or could have sent without asking; a program that sends JSON need not.
    """
    if sent.is_safe:
        return False
    return is_from_browser(sent) or sent.content_type.partition(";")[0].strip().lower() in _FORMS


def is_from_browser(sent: Sent) -> bool:
    """Whether a browser sent it, as far as it says: a form of an old one does not."""
    return bool(sent.origin or sent.site or sent.mode or sent.has_cookie)
