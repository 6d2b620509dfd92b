"""JSON in and out: hostile values are refused with their cause before they are believed (design §10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import check_size, decode_model, decode_object, decode_trusted, encode, encode_sorted
from kafka_saga.schemas.orders import OrderRequested


class Anything(BaseModel):
    x: Any = None


def as_object(value: bytes | None) -> Any:
    return decode_object(value)


def as_model(value: bytes | None) -> Any:
    return decode_model(Anything, value).model_dump(mode="json")


either_way = pytest.mark.parametrize("decode", [as_object, as_model])

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
numbers = st.from_regex(r"-?(0|[1-9]\d{0,24})(\.\d{1,20})?([eE][+-]?\d{1,4})?|-?Infinity|NaN", fullmatch=True)
almost_json = st.one_of(
    st.binary(max_size=200),
    numbers.map(lambda number: f'{{"x":{number}}}'.encode()),
    json_values.map(encode),
    st.tuples(json_values.map(encode), st.integers(0, 300), st.binary(max_size=3)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    ),
    st.text(alphabet='{}[]":,\\u0123456789eE+-.NaInfinty truefals', max_size=80).map(str.encode),
    st.text(alphabet='{}[]":,\\u0123456789eE+-.NaInfinty', max_size=40).map(
        lambda text: b'{"x":' + text.encode() + b"}"
    ),
)


def refusal(decode: Callable[[bytes | None], Any], value: bytes | None) -> Cause:
    with pytest.raises(ContractError) as caught:
        decode(value)
    cause = caught.value.cause
    assert isinstance(cause, Cause)
    return cause


@either_way
@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (None, Cause.NULL_VALUE),
        (b"", Cause.BAD_JSON),
        (b"{", Cause.BAD_JSON),
        (b"not json", Cause.BAD_JSON),
        (b'{"x":"\xff"}', Cause.BAD_JSON),
        (b'{"x":"\\ud800"}', Cause.BAD_JSON),
        (b'\xef\xbb\xbf{"x":1}', Cause.BAD_JSON),
        (b'{"x":NaN}', Cause.BAD_JSON),
        (b'{"x":-Infinity}', Cause.BAD_JSON),
        (b'{"x":1e400}', Cause.BAD_JSON),
        (b'{"x":18446744073709551616}', Cause.BAD_JSON),
        (b'{"x":-9223372036854775809}', Cause.BAD_JSON),
        (b'{"x":' + b"9" * 5_000 + b"}", Cause.BAD_JSON),
        (b'{"x":1,"x":1}', Cause.BAD_JSON),
        (b'{"x":1,"x":2}', Cause.BAD_JSON),
        (b'{"x": 1, "y": 2, "x": {"y": 3}}', Cause.BAD_JSON),
        (b'{"x":1,"\\u0078":2}', Cause.BAD_JSON),
        (b'{"x":{"a":{"b":1,"c":2,"b":1}}}', Cause.BAD_JSON),
        (b'{"x":[{"a":1},{"a":1,"a":1}]}', Cause.BAD_JSON),
        (b'{"x":1,"x":2,"y":"\\u003a"}', Cause.BAD_JSON),
        (b'{"x":"a:b","x":"c:d","y":"\\u003A\\u003A"}', Cause.BAD_JSON),
        (b'{"":1,"":2}', Cause.BAD_JSON),
        (b"\xff\xfe{\x00}\x00", Cause.BAD_JSON),
        (b'\x00\x00\x00\x00\x2a{"x":1}', Cause.BAD_JSON),
        (b'{"x":"' + b"a" * PAYLOAD_BYTES_MAX + b'"}', Cause.TOO_LARGE),
        (b'{"x":' + b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX + b"}", Cause.TOO_DEEP),
        (b"[" * PAYLOAD_BYTES_MAX, Cause.TOO_DEEP),
        (b'{"x":' * 40, Cause.TOO_DEEP),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hostile_value_is_refused_with_its_cause(
    decode: Callable[[bytes | None], Any], value: bytes | None, cause: Cause
) -> None:
    assert refusal(decode, value) is cause


@either_way
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"[]", "array"),
        (b'"text"', "string"),
        (b"1", "number"),
        (b"1.5", "number"),
        (b"true", "boolean"),
        (b"null", "null"),
    ],
)
def test_only_one_json_object_is_a_message(decode: Callable[[bytes | None], Any], value: bytes, kind: str) -> None:
    with pytest.raises(ContractError, match=f"the value is a JSON {kind}; send one JSON object") as caught:
        decode(value)
    assert caught.value.cause is Cause.BAD_JSON


@either_way
@pytest.mark.parametrize(
    "value",
    [
        b'{"x":18446744073709551615}',
        b'{"x":-9223372036854775808}',
        b'{"x":"12345678901234567890123"}',
        b'{"x":"NaN and Infinity, 1e400"}',
        b'{"x":0.12345678901234567890123}',
        b'{"x":1.7976931348623157e+308}',
        b'{"x":1E-400}',
        b'{"x":' + b"[" * (JSON_DEPTH_MAX - 1) + b"]" * (JSON_DEPTH_MAX - 1) + b"}",
        b'{"x":"' + b"[" * 100 + b'"}',
        b'{"x":"\\"' + b"[{" * 100 + b'"}',
        b'{"x":"\\\\","y":"' + b"{" * 100 + b'"}',
        b'{"x":[' + b"[]," * 100 + b"[]]}",
        b'{"x":[{"a":1,"b":2},{"a":1,"b":2}],"a":{"x":{"x":3}}}',
        b'{"x":"a:b::c","y":"\\u003a\\u003A:","z" : ":"}',
        b'{ "x"\t: {"X":1,"x":2} }',
        b'{"x":"' + b"a" * (PAYLOAD_BYTES_MAX - 8) + b'"}',
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_honest_value_that_looks_hostile_is_read(decode: Callable[[bytes | None], Any], value: bytes) -> None:
    assert decode(value)["x"] == decode_trusted(value)["x"]


@either_way
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b'{"x":1,"x":1}', "the key 'x' comes twice in one object of the value"),
        (b'{"x":{"":1,"":1}}', "the key '' comes twice in one object of the value"),
        (
            b'\xef\xbb\xbf{"x":1}',
            "the value is not plain JSON: it begins with a byte order mark; send UTF-8 without one",
        ),
        ("{}".encode("utf-16"), "the value is UTF-16, not JSON in UTF-8"),
        (
            b'\x00\x00\x00\x00\x2a{"x":1}',
            "(a zero byte and schema id 42 come first): send the plain JSON, by a serializer without a registry",
        ),
        (b"\x00\x00\x01\x00\x00\x02\x10avro", "schema id 65536"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_common_mistake_is_called_by_its_name(
    decode: Callable[[bytes | None], Any], value: bytes, words: str
) -> None:
    with pytest.raises(ContractError) as caught:
        decode(value)
    assert words in str(caught.value)


def test_a_zero_byte_alone_is_no_frame() -> None:
    with pytest.raises(ContractError, match="the value is not JSON: "):
        decode_object(b"\x00{}")


twice = st.builds(
    lambda before, name, first, second, after: (
        b"{%s}"
        % b",".join(encode({name: value})[1:-1] for name, value in [*before, (name, first), (name, second), *after])
    ),
    st.lists(st.tuples(st.text(max_size=3), json_values), max_size=3),
    st.text(max_size=3),
    json_values,
    json_values,
    st.lists(st.tuples(st.text(max_size=3), json_values), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(twice, st.integers(0, 3))
def test_a_key_that_comes_twice_is_found_wherever_it_is(value: bytes, depth: int) -> None:
    for _ in range(depth):
        value = b'{"x":[1,%s]}' % value
    for decode in (as_object, as_model):
        with pytest.raises(ContractError, match="comes twice"):
            decode(value)


class Flat(BaseModel):
    x: int = 0
    y: int = 0


class Filled(Flat):
    """Code sets a field that no key has set."""

    @model_validator(mode="after")
    def _fill(self) -> Self:
        self.y = 1
        return self


class Fed(BaseModel):
    """One key feeds two fields."""

    x: int = 0
    y: int = Field(0, validation_alias="x")


class Loose(Flat, extra="allow"):
    pass


@pytest.mark.parametrize("model", [Flat, Filled, Fed, Loose])
def test_a_model_that_has_as_many_fields_set_as_there_are_keys_does_not_hide_a_doubled_one(
    model: type[BaseModel],
) -> None:
    with pytest.raises(ContractError, match="'x' comes twice"):
        decode_model(model, b'{"x":1,"x":2}')
    assert decode_model(model, b'{"x":1,"z":2}')


def test_depth_is_not_fooled_by_escapes_and_strings() -> None:
    deep = b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX

    for before in (b'"\\\\"', b'"\\\\\\\\"', b'"a\\"b\\\\"', b'""', b'"[\\"["'):
        assert refusal(check_size, b'{"a":' + before + b',"x":' + deep + b"}") is Cause.TOO_DEEP


@settings(max_examples=500, deadline=None)
@given(almost_json)
def test_no_bytes_raise_anything_but_a_contract_error(value: bytes) -> None:
    for decode in (as_object, as_model):
        try:
            document = decode(value)
        except ContractError:
            continue
        assert isinstance(document, dict)


@settings(max_examples=500, deadline=None)
@given(almost_json)
def test_what_is_read_can_be_written_and_read_again_unchanged(value: bytes) -> None:
    for decode in (as_object, as_model):
        try:
            document = decode(value)
        except ContractError:
            continue
        assert decode_trusted(encode(document)) == document


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_an_object_survives_the_wire(document: dict[str, Any]) -> None:
    assert decode_object(encode(document)) == document


@settings(deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=5), st.randoms(use_true_random=False))
def test_the_hashed_form_does_not_depend_on_the_order_of_keys_R3(document: dict[str, Any], chance: Any) -> None:
    keys = list(document)
    chance.shuffle(keys)

    assert encode_sorted({key: document[key] for key in keys}) == encode_sorted(document)


def test_a_complaint_names_the_field_and_holds_no_value_I24() -> None:
    secret = b'{"order_id":"o-1","customer_id":4111111111111111,"items":[],"amount":"4111","currency":"euro"}'

    with pytest.raises(ContractError) as caught:
        decode_model(OrderRequested, secret)

    assert caught.value.cause is Cause.BAD_SCHEMA
    assert str(caught.value) == (
        "the value does not fit OrderRequested: customer_id: Input should be a valid string; items: List should have "
        "at least 1 item after validation, not 0; amount: Input should be a valid integer (and 1 more)"
    )
