"""The one place that parses and writes JSON.

Every message is treated as hostile: its size is checked before it is parsed, its depth before it is believed.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.runtime.stacks import complaints, words_of
from kafka_saga.schemas.causes import Cause

JsonObject = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * 19
_WHERE_NUMBERS_ARE = re.compile(rb"[:\[,\s]-?0(?:[0.]{18}|[0.]*e000)")
"""Long digits and exponents of numbers; a seventh of all random ids has such in its text (`…1e456…`)."""

_INTEGERS = range(-(2**63), 2**64)
"""What we can write again. Parsers differ beyond it: some round, some refuse, some keep every digit."""


describe = complaints
"""What is said of a message that does not fit its model: never its content (I24)."""


def encode(document: Any) -> bytes:
    """Compact UTF-8 JSON. Keys keep their order, so the same document gives the same bytes."""
    return orjson.dumps(document)


def encode_model(model: BaseModel) -> bytes:
    """A model as JSON, without a detour by text."""
    return model.__pydantic_serializer__.to_json(model, by_alias=True)


def validate(model: type[Model], value: bytes) -> Model:
    """JSON that is known to be bounded as a `model`, without pydantic's own detour, which costs as much.

    Raises:
        ValidationError: it does not fit.

    """
    valid: Model = model.__pydantic_validator__.validate_json(value)
    return valid


def to_document(model: BaseModel) -> JsonObject:
    """A model's fields as they stand in JSON."""
    document: JsonObject = model.__pydantic_serializer__.to_python(model, mode="json", by_alias=True)
    return document


def encode_sorted(document: Any) -> bytes:
    """JSON with sorted keys: the form that is hashed to compare requests (R3)."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def decode_trusted(value: bytes | str) -> Any:
    """Parse JSON that we wrote ourselves."""
    return orjson.loads(value)


def check_size(value: bytes | None) -> bytes:
    """Refuse what must not even be parsed.

    Raises:
        ContractError: no value (a tombstone), too large, nested too deeply, or with numbers that not all parsers
            read alike.

    """
    if value is None:
        raise ContractError(Cause.NULL_VALUE, "the record has no value; send one JSON object")
    if len(value) > PAYLOAD_BYTES_MAX:
        raise ContractError(
            Cause.TOO_LARGE, f"the value has {len(value):,} bytes; at most {PAYLOAD_BYTES_MAX:,} are allowed"
        )
    # Counting brackets is an upper bound of the depth and costs nothing; only suspects are walked.
    if value.count(b"{") + value.count(b"[") > JSON_DEPTH_MAX and _depth(value) > JSON_DEPTH_MAX:
        raise ContractError(Cause.TOO_DEEP, f"the value is nested deeper than {JSON_DEPTH_MAX} levels")
    check_numbers(value)
    return value


def check_numbers(value: bytes) -> None:
    """Refuse JSON with numbers that not all parsers read alike.

    Raises:
        ContractError: one has more than 64 bits, or is infinite or none at all.

    """
    # As with brackets, suspects only: with all digits zeros, four searches cost a third of one regular expression.
    shape = value.translate(_DIGITS_TO_ZERO, b"+")
    suspect = (_LONG_NUMBER in shape or b"0e000" in shape) and _WHERE_NUMBERS_ARE.search(shape) is not None
    if suspect or b"NaN" in shape or b"Infinity" in shape:
        _check_numbers(value)


def decode_object(value: bytes | None) -> JsonObject:
    """Parse a record's value into one JSON object.

    Raises:
        ContractError: no value, too large, too deep, not JSON, or not an object.

    """
    checked = check_size(value)
    try:
        document = orjson.loads(checked)
    except orjson.JSONDecodeError as error:
        raise ContractError(Cause.BAD_JSON, f"the value is not JSON: {error}") from error
    if type(document) is not dict:
        raise ContractError(Cause.BAD_JSON, f"the value is a JSON {_json_type(document)}; send one JSON object")
    return document


def decode_model(model: type[Model], value: bytes | None) -> Model:
    """Parse and validate a record's value, once, from its bytes.

    Raises:
        ContractError: as `decode_object`, or the object does not fit the model.

    """
    checked = check_size(value)
    try:
        return validate(model, checked)
    except ValidationError as error:
        kind = Cause.BAD_JSON if error.errors()[0]["type"] == "json_invalid" else Cause.BAD_SCHEMA
        raise ContractError(kind, f"the value does not fit {model.__name__}: {describe(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's validator may raise anything (R57)
        raise ContractError(Cause.BAD_SCHEMA, f"the value does not fit {model.__name__}: {told(error)}") from error


def told(error: BaseException) -> str:
    """An error of a user's code in one line that can be stored: JSON cannot carry lone surrogates."""
    return f"{type(error).__name__}: {' '.join(words_of(error).split())}".encode(errors="replace").decode()


def _depth(value: bytes) -> int:
    """Bracket depth outside of strings: right for JSON, and linear for anything else."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in value:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return deepest


def _check_numbers(value: bytes) -> None:
    """Refuse numbers that would not come out of the store as they went in."""
    try:
        json.loads(value.decode(), parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except ValueError:
        return  # not JSON at all: the caller's own parser says so better


def _integer(digits: str) -> None:
    if len(digits) > 20 or int(digits) not in _INTEGERS:
        raise ContractError(Cause.BAD_JSON, "a number in the value has more than 64 bits; send it as text")


def _finite(number: str) -> None:
    if not math.isfinite(float(number)):
        raise ContractError(Cause.BAD_JSON, "a number in the value is infinite or none at all; leave it out")


def _json_type(document: object) -> str:
    names = {
        list: "array",
        str: "string",
        int: "number",
        float: "number",
        bool: "boolean",
        type(None): "null",
    }
    return names.get(type(document), "value")
