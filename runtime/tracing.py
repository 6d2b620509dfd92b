"""Spans by OpenTelemetry's API: where no SDK is installed there is no tracer (`tracers`), and nothing of this runs.

Messages have contexts of their own (`create`), as its messaging conventions want it where they are sent in batches;
`send`, `poll` and `commit` are spans of a batch, with links to what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

LINKS_MAX = 128
"""What SDKs keep of a span's links; a batch may have more messages."""

_FORM = TraceContextTextMapPropagator()


def context_of(text: str | None) -> Context:
    """The context that a message's trace is (`schemas.traces`); an empty one where it has none."""
    if text is None:
        return Context()
    parent, _, state = text.partition(" ")
    return _FORM.extract({"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}, Context())


def text_of(span: Span) -> str:
    """A span's context as messages carry it."""
    found = span.get_span_context()
    text = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
    return f"{text} {found.trace_state.to_header()}" if found.trace_state else text


def link_to(text: str | None) -> Link | None:
    """A link to what a message carries; None where it carries nothing."""
    if text is None:
        return None
    found = trace.get_current_span(context_of(text)).get_span_context()
    return Link(found) if found.is_valid else None


def links_to(texts: Iterable[str | None]) -> list[Link]:
    """Links to the first of what messages carry."""
    found: list[Link] = []
    for text in texts:
        link = link_to(text)
        if link is not None:
            found.append(link)
            if len(found) == LINKS_MAX:
                break
    return found


def failed(span: Span, error_type: str, text: str = "") -> None:
    """Mark a span as one that failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, text or error_type))


def at_ns(at_ms: int) -> int:
    """A moment of a store's clock as spans have it."""
    return at_ms * 1_000_000
