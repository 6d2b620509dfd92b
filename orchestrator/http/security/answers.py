"""What every answer carries, so that a browser does with it only what it is for."""

from __future__ import annotations

from collections.abc import Iterable

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Only what this server serves itself, and nothing that stands in a page: no script of a payload's runs."""

_ALWAYS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_NOT_KEPT = (b"cache-control", b"no-store")

Headers = list[tuple[bytes, bytes]]


def with_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of an answer with ours; one that is kept anywhere says so itself."""
    names = {name for name, _value in _ALWAYS}
    kept = [(name, value) for name, value in headers if name.lower() not in names]
    says = any(name.lower() == b"cache-control" for name, _value in kept)
    return [*kept, *_ALWAYS, *(() if says else (_NOT_KEPT,))]
