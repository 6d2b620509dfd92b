"""Hostile input: arbitrary bytes, and valid messages that something happened to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from kafka_saga.messaging.dead_letters import ERROR_HEADERS
from kafka_saga.runtime.limits import (
    DEAD_LETTER_WHOLE_BYTES_MAX,
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    JSON_DEPTH_MAX,
    PAYLOAD_BYTES_MAX,
)
from kafka_saga.schemas import envelope
from kafka_saga.schemas.codec import encode
from tests.contracts.stores import REQUEST

HeaderList = tuple[tuple[str, bytes | None], ...]

IDS = ("order-1", "order-2", "order:3")
"""The sagas that hostile messages may be about; the bystander is none of them."""

STEPS = ("reserve_inventory", "process_payment", "create_order")


@dataclass(frozen=True)
class Hostile:
    """A record before it has an offset."""

    key: bytes | None
    value: bytes | None
    headers: HeaderList


TOKENS: Sequence[bytes] = (
    b"NaN", b"-Infinity", b"1e400", b"9" * 40, b"-9223372036854775809", b"18446744073709551616", b"-0", b"0.1e-999",
    b'"\\ud800"', b'"\\udc00\\ud800"', b"\\u0000", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\x00", b"\x1b[2J",
    b'{"order_id":"order-2",', b',"order_id":"order-2"', b'"a":1,"a":2,', b"[" * JSON_DEPTH_MAX,
    b'{"a":' * JSON_DEPTH_MAX,
    b"]" * JSON_DEPTH_MAX, b"null", b"true", b"//", b"'", b"\\", b'"', b",,", b"{}", b"[]",
)  # fmt: skip

texts = st.text(max_size=20) | st.sampled_from(["", "order-1", "../../etc/passwd", "a" * 129, "\x00", "\U0001f4a3"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def _json(document: Any) -> bytes:
    """As Python's own writer has it: with NaN, huge numbers and lone surrogates, which ours refuses."""
    import json  # noqa: PLC0415 -- the hostile side only

    return json.dumps(document).encode()


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes after up to four accidents."""
    value = draw(originals)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(value)))
        removed = draw(st.sampled_from([0, 0, 1, 3, 10, 100]))
        added = draw(st.sampled_from(TOKENS) | st.binary(max_size=6) | st.just(value[at : at + 20]))
        value = value[:at] + added + value[at + removed :]
    return value


deep = st.builds(
    lambda opening, closing, levels: opening * levels + b"1" + closing * levels,
    st.sampled_from([b'{"a":', b"["]),
    st.sampled_from([b"}", b"]", b""]),
    st.integers(JSON_DEPTH_MAX - 2, JSON_DEPTH_MAX + 2) | st.just(5_000),
)
padded = st.builds(
    lambda size, key: b'{"' + key + b'":"' + b"x" * size + b'"}',
    st.sampled_from([PAYLOAD_BYTES_MAX - 20, PAYLOAD_BYTES_MAX + 1, DEAD_LETTER_WHOLE_BYTES_MAX + 1, 1_000_000]),
    st.sampled_from([b"error", b"note", b"charge_id"]),
)


def values(*documents: dict[str, Any]) -> st.SearchStrategy[bytes | None]:
    """Values of every kind, most of them near one of `documents`."""
    fields = sorted({name for document in documents for name in document})
    changed = st.builds(
        lambda document, name, value: _json({**document, name: value}),
        st.sampled_from(documents),
        st.sampled_from([*fields, "extra"]),
        json_values,
    )
    valid = st.sampled_from([encode(document) for document in documents])
    whole = mutated(valid) | changed | json_values.map(_json) | st.binary(max_size=200) | deep | st.none()
    return st.one_of(valid, mutated(changed), whole, whole, st.sampled_from([b"", b"{}"]), padded)


@st.composite
def _command_id(draw: st.DrawFn, steps: Sequence[str]) -> tuple[str, str]:
    """A command's id, and its saga's; one part of it may be wrong."""
    good = {"kind": "order", "saga": draw(st.sampled_from(IDS)), "phase": "forward", "epoch": "1"}
    good["step"] = draw(st.sampled_from(steps))
    bad = {
        "kind": ["parcel", "Order", ""],
        "saga": ["order-9", "a b", "x" * 129, ""],
        "step": ["no_such_step", "../x", ""],
        "phase": ["compensate", "compensate", "sideways"],
        "epoch": ["2", "99999", "0", "01", "100000", "-1", "\u0661"],
    }
    wrong = draw(st.sampled_from([None, None, *bad]))
    if wrong is not None:
        good[wrong] = draw(st.sampled_from(bad[wrong]))
    return "/".join(good[part] for part in ("kind", "saga", "step", "phase", "epoch")), good["saga"]


numbers = st.sampled_from(
    [b"1", b"1", b"1", b"1", b"0", b"2", b"999999999999999", b"9" * 16, b"-1", b"1e3", b"\xd9\xa1", b"", b"x"]
)
content_types = st.sampled_from(
    [
        b"application/json",
        b"application/json",
        b"application/json",
        b"application/cloudevents+json",
        b"APPLICATION/CloudEvents",
        b"text/html",
        b"\xff",
    ]
)
outcomes = st.sampled_from([b"success", b"success", b"failure", b"retry", b"Success", b"", b"\xff"])


@st.composite
def headers_of(draw: st.DrawFn, usual: st.SearchStrategy[list[tuple[str, bytes]]]) -> HeaderList:
    """Headers that are usual, but for up to three accidents."""
    headers: list[tuple[str, bytes | None]] = [*draw(usual)]
    names = [name for name, _ in headers] + [*sorted(ERROR_HEADERS), "dlq_replay_count", "traceparent", "", "ce_data"]
    for _ in range(draw(st.integers(0, 3))):
        accident = draw(st.sampled_from(["drop", "change", "add", "null", "repeat", "large", "many"]))
        at = draw(st.integers(0, max(0, len(headers) - 1)))
        if accident == "add":
            headers.append((draw(st.sampled_from(names) | texts), draw(st.binary(max_size=40))))
        elif accident == "large":
            headers.append(("large", b"x" * draw(st.sampled_from([HEADERS_BYTES_MAX - 400, HEADERS_BYTES_MAX + 1]))))
        elif accident == "many":
            headers += [(f"h{number}", b"") for number in range(draw(st.sampled_from([HEADERS_MAX - 6, 200])))]
        elif headers:
            name, value = headers[at]
            changed = {
                "drop": [],
                "change": [(name, draw(st.binary(max_size=40)))],
                "null": [(name, None)],
                "repeat": [(name, value), (name, value)],
            }
            headers[at : at + 1] = changed[accident]
    return tuple(headers)


keys = st.one_of(
    st.sampled_from([key.encode() for key in IDS]),
    st.none(),
    st.sampled_from([b"", b"\xff\xfe", b"a b", b"k" * 200, b"k" * 40_000]),
    st.binary(max_size=30),
)

request_headers = headers_of(st.lists(st.tuples(st.just(envelope.CONTENT_TYPE), content_types), max_size=1))

structured = st.builds(
    lambda data, attributes: _json({**attributes, "data": data}),
    st.sampled_from([{"reservation_id": "r-1"}, REQUEST, {}, None, [], "text"]) | json_values,
    st.dictionaries(st.sampled_from(["id", "type", "causationid", "sagaoutcome", "x" * 300]), json_values, max_size=4),
)

REPLIES = ({"reservation_id": "r-1"}, {"charge_id": "ch-1"}, {"order_number": "A-17"}, {"error": "no"})

requests = st.builds(
    Hostile, keys, values(*({**REQUEST, "order_id": saga_id} for saga_id in IDS)) | structured, request_headers
)


def about(
    steps: Sequence[str], usual: Callable[[str], st.SearchStrategy[list[tuple[str, bytes]]]], bodies: Any
) -> st.SearchStrategy[Hostile]:
    """Messages about a command, mostly with the key that belongs to it."""

    @st.composite
    def message(draw: st.DrawFn) -> Hostile:
        command_id, saga_id = draw(_command_id(steps))
        key = draw(st.just(saga_id.encode()) | st.just(saga_id.encode()) | keys)
        return Hostile(key, draw(bodies), draw(headers_of(usual(command_id))))

    return message()


def _reply_headers(command_id: str) -> st.SearchStrategy[list[tuple[str, bytes]]]:
    return st.builds(
        lambda outcome, attempt, content_type, effect: [
            (envelope.CAUSATION_ID, command_id.encode()),
            (envelope.OUTCOME, outcome),
            (envelope.ATTEMPT, attempt),
            (envelope.CONTENT_TYPE, content_type),
            *([(envelope.EFFECT, effect)] if effect else []),
        ],
        outcomes,
        numbers,
        content_types,
        st.sampled_from([b"", b"", b"none", b"done", b"\xff"]),
    )


replies = about(STEPS, _reply_headers, values(*REPLIES) | structured)
anything = st.builds(
    Hostile,
    keys,
    st.binary(max_size=300),
    st.lists(st.tuples(texts, st.none() | st.binary(max_size=60)), max_size=6).map(tuple),
)


def _command_headers(command_id: str) -> st.SearchStrategy[list[tuple[str, bytes]]]:
    return st.builds(
        lambda kind, reply_to, attempt, started: [
            (envelope.ID, command_id.encode()),
            (envelope.TYPE, kind),
            (envelope.REPLY_TO, reply_to),
            (envelope.ATTEMPT, attempt),
            (envelope.STARTED, started),
        ],
        st.sampled_from([b"do", b"do", b"undo", b"call", b"uncall", b"fly", b"", b"\xff"]),
        st.sampled_from([*[b"shop.replies"] * 3, b"shop.replies.store-2", b"payment.replies", b"\xff", b""]),
        numbers,
        st.sampled_from([b"1699999999000", b"1699999999000"]) | numbers,
    )


BODIES = ({"mode": "ok"}, {"mode": "reject"}, {"mode": "raise"}, {})
commands = about(["pay"], _command_headers, values(*BODIES) | structured)
