"""The trace that a message belongs to, in W3C's form: carried from a request to every command, reply and event.

It is passed on whether or not this process makes spans: a caller's trace must not end at a service that has no SDK.
Kept as one text: `traceparent`, and `tracestate` after a blank where there is one.
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
_PARENT_OF_EVENT, _STATE_OF_EVENT = "ce_traceparent", "ce_tracestate"
"""Their distributed tracing extension: what began the whole, where the hop's own is missing."""

_FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(rb"[\x20-\x7e]{1,512}")


def read_trace(headers: Mapping[str, bytes]) -> str | None:
    """The trace of a message with these headers; None where it has none, or none that can be read."""
    parent, state = headers.get(TRACEPARENT), TRACESTATE
    if parent is None:
        parent, state = headers.get(_PARENT_OF_EVENT), _STATE_OF_EVENT
        if parent is None:
            return None
    if not _FORM.fullmatch(parent):
        return None
    text = parent.decode()
    found = headers.get(state)
    return f"{text} {found.strip().decode()}" if found and _STATE.fullmatch(found) else text


def trace_headers(trace: str | None) -> tuple[tuple[str, bytes], ...]:
    """The headers that carry `trace` on."""
    if trace is None:
        return ()
    parent, _, state = trace.encode().partition(b" ")
    return ((TRACEPARENT, parent), (TRACESTATE, state)) if state else ((TRACEPARENT, parent),)


def trace_id_of(trace: str) -> str:
    """The id under which people find the trace."""
    return trace[3:35]
