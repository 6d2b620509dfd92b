"""The one place that parses and writes JSON.

Every message is treated as hostile: its size is checked before it is parsed, its depth before it is believed.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import struct
from functools import lru_cache
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.runtime.limits import JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.runtime.stacks import complaints, words_of
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.sensitive import redacted, sensitivity_of

JsonObject = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * 19
_WHERE_NUMBERS_ARE = re.compile(rb"[:\[,\s]-?0(?:[0.]{18}|[0.]*e000)")
"""Long digits and exponents of numbers; a seventh of all random ids has such in its text (`…1e456…`)."""

_N, _I = b"NI"
"""First letters of what is no number: one letter is found in a third of the time of a word."""

_FRAME = struct.Struct(">bI")
"""What Confluent's serializers begin with: a zero byte, and the id of a schema."""

_INTEGERS = range(-(2**63), 2**64)
"""What we can write again. Parsers differ beyond it: some round, some refuse, some keep every digit."""


describe = complaints
"""What is said of a message that does not fit its model: never its content (I24)."""


def encode(document: Any) -> bytes:
    """Compact UTF-8 JSON. Keys keep their order, so the same document gives the same bytes."""
    return orjson.dumps(document)


def encode_model(model: BaseModel) -> bytes:
    """A model as JSON, without a detour by text."""
    return model.__pydantic_serializer__.to_json(model, by_alias=True, warnings=False)  # they show values (I24)


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


def decode_brought(text: bytes) -> Any:
    """Parse JSON of any size that a person brought: what a message may not have is refused here too.

    Raises:
        ValueError: it is not JSON.
        ContractError: a key comes twice, or a number would not come out as it went in.

    """
    document = orjson.loads(text)
    try:
        _read_closely(text)
    except RecursionError as error:
        raise ContractError(Cause.TOO_DEEP, "it is nested too deeply") from error
    return document


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
    # As with brackets, suspects only: with all digits zeros, such searches cost a fraction of one regular expression.
    shape = value.translate(_DIGITS_TO_ZERO, b"+")
    suspect = (_LONG_NUMBER in shape or b"0e000" in shape) and _WHERE_NUMBERS_ARE.search(shape) is not None
    if suspect or (_N in value and b"NaN" in value) or (_I in value and b"Infinity" in value):
        _check_numbers(value)


def decode_object(value: bytes | None) -> JsonObject:
    """Parse a record's value into one JSON object.

    Raises:
        ContractError: no value, too large, too deep, not JSON, not an object, or with a key that comes twice.

    """
    return decode_canonical(value)[0]


def decode_canonical(value: bytes | None) -> tuple[JsonObject, bytes]:
    """One JSON object as `decode_object` reads it, and its form with sorted keys (R3).

    Raises:
        ContractError: as `decode_object`.

    """
    checked = check_size(value)
    try:
        document = orjson.loads(checked)
    except orjson.JSONDecodeError as error:
        raise _not_json(checked, str(error)) from error
    if type(document) is not dict:
        raise _no_object(document)
    written = encode_sorted(document)
    _check_keys(checked, written)
    return document, written


def decode_model(model: type[Model], value: bytes | None) -> Model:
    """Parse and validate a record's value, once, from its bytes.

    Raises:
        ContractError: as `decode_object`, or the object does not fit the model.

    """
    checked = check_size(value)
    found = fit(model, checked)
    colons = checked.count(b":")
    # One key cannot come twice; nor can one of as many as there are fields that they have filled.
    if colons > 1 and not (colons == len(found.__pydantic_fields_set__) and _is_filled_by_keys(model)):
        _check_keys(checked, orjson.dumps(orjson.loads(checked)))
    return found


@lru_cache(maxsize=1024)
def _is_filled_by_keys(model: type[BaseModel]) -> bool:
    """Whether each field that counts as set was set by a key of its own, and not by another's or by code."""
    return not (
        model.__pydantic_root_model__
        or model.__pydantic_custom_init__
        or model.__pydantic_post_init__
        or model.__pydantic_decorators__.model_validators
        or any(field.validation_alias is not None for field in model.model_fields.values())
    )


def fit(model: type[Model], checked: bytes) -> Model:
    """A value that `decode_canonical` has read, as a `model`.

    Raises:
        ContractError: it does not fit.

    """
    try:
        return validate(model, checked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise _not_json(checked, describe(error)) from error
        if not first["loc"] and not isinstance(first["input"], dict):
            raise _no_object(first["input"]) from error
        raise misfit(model, checked, describe(error)) from error
    except BaseException as error:  # a user's validator may raise anything (R57)
        if is_pressed(error):
            raise
        raise misfit(model, checked, told(error)) from error


def misfit(model: type[BaseModel], value: bytes, why: str) -> ContractError:
    """What is said of a value that does not fit: users' validators may quote what is sensitive of it."""
    try:
        secrets = sensitivity_of(model).secrets(orjson.loads(value))
    except ValueError:  # pydantic reads what we do not
        secrets = frozenset()
    return ContractError(Cause.BAD_SCHEMA, redacted(f"the value does not fit {model.__name__}: {why}", secrets))


def told(error: BaseException) -> str:
    """An error of a user's code in one line that can be stored: JSON cannot carry lone surrogates."""
    return f"{type(error).__name__}: {' '.join(words_of(error).split())}".encode(errors="replace").decode()


def framing(value: bytes) -> str | None:
    """What a schema registry's serializer has put before `value` (`schema id 7`), or None."""
    if len(value) < _FRAME.size or value[0] != 0:
        return None
    _magic, schema_id = _FRAME.unpack_from(value)
    return f"framed for a schema registry (a zero byte and schema id {schema_id} come first)"


def _check_keys(value: bytes, written: bytes) -> None:
    """Refuse JSON in which an object has the same key twice: parsers differ in which of the two they believe.

    Ours keeps the last one. So what it read and wrote again has fewer colons where a member was dropped, which costs
    little to see. Only a colon that was written as an escape could make up for it.

    Args:
        value: the JSON.
        written: what was read from it, written again.

    """
    if value.count(b":") != written.count(b":") or b"\\u003" in value:
        _read_closely(value)


def _not_json(value: bytes, complaint: str) -> ContractError:
    """Why it is not JSON: what senders do by mistake is called by its name."""
    framed = framing(value)
    if framed is not None:
        what = f"{framed}: send the plain JSON, by a serializer without a registry"
    elif value.startswith(codecs.BOM_UTF8):
        what = "not plain JSON: it begins with a byte order mark; send UTF-8 without one"
    elif value.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        what = "UTF-16, not JSON in UTF-8"
    else:
        what = f"not JSON: {complaint}"
    return ContractError(Cause.BAD_JSON, f"the value is {what}")


def _no_object(document: object) -> ContractError:
    return ContractError(Cause.BAD_JSON, f"the value is a JSON {_json_type(document)}; send one JSON object")


def _once(members: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _value in members:
        if name in seen:
            raise ContractError(Cause.BAD_JSON, f"the key {name[:100]!r} comes twice in one object of the value")
        seen.add(name)


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
        _read_closely(value)
    except ValueError:
        return  # not JSON at all: the caller's own parser says so better


def _read_closely(value: bytes) -> None:
    """Refuse, anywhere in JSON, a key that comes twice and a number that cannot be kept. Far slower than parsing."""
    json.loads(value.decode(), parse_int=_integer, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_once)


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
