"""W3C's trace context, as it is read, kept and carried on."""

from __future__ import annotations

import pytest

from kafka_saga.schemas.traces import read_trace, trace_headers, trace_id_of

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"traceparent": PARENT}, PARENT.decode()),
        ({"traceparent": PARENT, "tracestate": b"shop=web,x=y"}, f"{PARENT.decode()} shop=web,x=y"),
        ({"ce_traceparent": PARENT, "ce_tracestate": b"a=b"}, f"{PARENT.decode()} a=b"),
        ({"traceparent": PARENT, "tracestate": b""}, PARENT.decode()),
        ({"traceparent": PARENT, "tracestate": b"a=\xff"}, PARENT.decode()),
        ({"traceparent": PARENT, "tracestate": b"a=" + b"b" * 511}, PARENT.decode()),
        ({"traceparent": b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"}, None),
        ({"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01"}, None),
        ({"traceparent": b"ff" + PARENT[2:]}, None),
        ({"traceparent": PARENT.upper()}, None),
        ({"traceparent": PARENT + b"\n"}, None),
        ({"traceparent": b""}, None),
    ],
)
def test_what_is_no_trace_context_is_not_carried_on(headers: dict[str, bytes], expected: str | None) -> None:
    assert read_trace(headers) == expected


def test_what_is_carried_on_is_read_alike() -> None:
    for trace in (PARENT.decode(), f"{PARENT.decode()} shop=web,x=y"):
        assert read_trace(dict(trace_headers(trace))) == trace
    assert trace_headers(None) == ()
    assert trace_id_of(PARENT.decode()) == "0af7651916cd43dd8448eb211c80319c"
