"""What a model reads it writes, and reads again alike (R58): judged once from its structure, and from each value.

A value goes through models up to five times on its way: request, command, handler, reply, a later command. Each of
them reads the last one's JSON. That nothing changes on the way is shown in three steps, the cheapest that suffices:

- a model of plain types alone (text, flags, bounded integers, lists and models of them) cannot change anything;
- a model that certainly does is refused with its definition, by its structure or by trying a few samples;
- of any other model every value is read back from what was written, and refused where it differs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaSerializer, SchemaValidator

from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.schemas.codec import check_numbers, encode_model, told, validate
from kafka_saga.schemas.samples import documents
from kafka_saga.schemas.structure import (
    Node,
    children_of,
    computed_fields_of,
    extra_of,
    fields_of,
    of_model,
    shown,
    takes_any_value,
)

_UNREADABLE = {"callable", "is-instance", "is-subclass", "generator"}
_NOTHING = object()


class Character(NamedTuple):
    """What a model's structure says of its values.

    Attributes:
        plain: every value that it reads comes back alike.
        decimals: it has exact numbers, which JSON's may not be.

    """

    plain: bool
    decimals: bool


class ChangedError(ValueError):
    """A value would not be read again as it was."""


_CHARACTERS: dict[type[BaseModel], Character] = {}


def character_of(model: type[BaseModel]) -> Character:
    """What the structure of `model` says of its values; found out once."""
    known = _CHARACTERS.get(model)  # asked for every message: a dictionary is twice as fast as `functools.cache`
    if known is None:
        nodes = [node for _, node in _walk(of_model(model))]
        known = Character(all(map(_is_plain, nodes)), any(node.kind == "decimal" for node in nodes))
        _CHARACTERS[model] = known
    return known


@cache
def complaint(model: type[BaseModel]) -> str | None:
    """Why values of `model` cannot come out as they went in, whatever they are, and the remedy; or None."""
    try:
        root = of_model(model)
    except (PydanticUserError, NameError) as error:
        return f"its annotations cannot be read ({str(error).splitlines()[0]}): import what they name above it"
    found = next(_certain(root), None)
    if found is not None or character_of(model).plain:
        return found
    return _tried(model)


def difference(one: Any, other: Any, path: str = "") -> str | None:
    """Where two values that should be alike are not (`items[0].price`), or None."""
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        known = type(other).model_fields
        mine, theirs = one.__dict__ | (one.__pydantic_extra__ or {}), other.__dict__ | (other.__pydantic_extra__ or {})
        counting = {*known, *theirs, *type(one).model_fields}  # a subclass's fields vanish; what it has cached does not
        return _first_different({k: v for k, v in mine.items() if k in counting}, theirs, path)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _first_different(one, other, path)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return path
        return _first_different(dict(enumerate(one)), dict(enumerate(other)), path)
    if one == other or (isinstance(other, Enum) and one == other.value):
        return None
    # A type without an equality of its own, and NaN, can only be judged by what is written, which is compared too.
    own_equality: Any = type(one).__eq__
    incomparable = own_equality is object.__eq__ or one != one  # noqa: PLR0124
    return None if incomparable and type(one) is type(other) else path


def written(made: BaseModel) -> bytes:
    """A model's JSON, from which the same model would be read again.

    Raises:
        ChangedError: it would not; the message says which field, and none of its values (I24).
        ContractError: it has numbers that not all parsers read alike, such as NaN.
        PydanticSerializationError: it cannot be written at all.

    """
    body = encode_model(made)
    if not character_of(type(made)).plain:
        place = changed(made, body)
        if place is not None:
            raise _would_change(place)
    return body


def refuse_change(made: BaseModel, again: BaseModel) -> None:
    """Refuse a value that was not read again as it was, such as an object of a subclass, of which fields vanish.

    Raises:
        ChangedError: so it is; the message says where.

    """
    if made != again and (place := difference(made, again)) is not None:
        raise _would_change(place)


def _would_change(place: str) -> ChangedError:
    return ChangedError(f"{_at(place)} would change when it is written and read again")


def changed(made: BaseModel, body: bytes) -> str | None:
    """Where `made` differs from what is read from its own JSON, or None."""
    try:
        check_numbers(body)
        again = validate(type(made), body)
    except ValidationError as error:
        return ".".join(str(part) for part in error.errors()[0]["loc"])
    if made == again:
        return None
    place = difference(made, again)
    if place is None and body != again.__pydantic_serializer__.to_json(again, by_alias=True, warnings=False):
        return ""
    return place


def check_exact(value: bytes) -> None:
    """Refuse numbers that are no doubles: an exact one would be rounded before a Decimal is made of it.

    Raises:
        ChangedError: there is one.

    """
    json.loads(value, parse_float=_double)


def _double(text: str) -> float:
    given, number = Decimal(text), float(text)
    # Some write doubles with more digits than needed; those digits are the double's own.
    if Context(prec=max(len(given.as_tuple().digits), 1)).create_decimal(Decimal(number)) != given:
        raise ChangedError("a number has more digits than a JSON number keeps; send it as text")
    return number


def _first_different(one: Mapping[Any, Any], other: Mapping[Any, Any], path: str) -> str | None:
    if one.keys() != other.keys():
        extra = next(iter(sorted(map(str, one.keys() ^ other.keys()))))
        return f"{path}.{extra}" if path else extra
    for key, value in one.items():
        place = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else str(key)
        found = difference(value, other[key], place)
        if found is not None:
            return found
    return None


def _walk(node: Node, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Node]]:
    """Every node of a structure, once, with its place."""
    seen = set() if seen is None else seen
    if id(node.schema) in seen:
        return
    seen.add(id(node.schema))
    yield path, node
    for place, child in children_of(node):
        joined = path + place if place == "[]" else f"{path}.{place}" if path and place else path or place
        yield from _walk(child, joined, seen)


def _is_plain(node: Node) -> bool:
    """Whether nothing that this node reads, apart from what is inside of it, can be changed by writing it."""
    asks = _PLAIN_IF.get(node.kind)
    return node.kind in _PLAIN and "serialization" not in node.schema and (asks is None or asks(node.schema, node))


_PLAIN = {
    *("str", "bool", "none", "uuid", "nullable", "int", "float", "literal", "enum", "list", "dict", "default"),
    *("model", "model-fields"),
}
_PLAIN_IF: dict[str, Callable[[Any, Node], bool]] = {
    # JSON has no NaN, and integers beyond 64 bits are read as something else.
    "int": lambda schema, _: (
        schema.get("ge", schema.get("gt", -math.inf)) >= -(2**63)
        and schema.get("le", schema.get("lt", math.inf)) < 2**64
    ),
    "float": lambda schema, node: schema.get("allow_inf_nan", node.config.get("allow_inf_nan")) is False,
    "literal": lambda schema, _: all(type(item) in (str, int, bool) for item in schema["expected"]),
    "enum": lambda schema, node: (
        not takes_any_value(node) and all(type(item.value) is str for item in schema["members"])
    ),
    "list": lambda schema, _: "items_schema" in schema,
    "dict": lambda schema, node: "values_schema" in schema and node.at(schema["keys_schema"]).kind == "str",
    "default": lambda schema, _: schema.get("default_factory") in (None, list, dict, set, str),
    "model": lambda schema, node: (
        extra_of(node) != "allow"
        and not (schema.get("custom_init") or schema.get("root_model") or schema.get("post_init"))
    ),
    "model-fields": lambda schema, _: (
        not schema.get("computed_fields")
        and not any("serialization_exclude_if" in field for field in schema["fields"].values())
    ),
}


def _certain(root: Node) -> Iterator[str]:
    """What the structure alone shows to be wrong, with the remedy."""
    for path, node in _walk(root):
        if node.kind == "json":
            inner = shown(node.inner()) if "schema" in node.schema else "Any"
            yield f"{_at(path)} is read as text and written as a value (Json): make it {inner}"
        if node.kind in _UNREADABLE:
            yield f"{_at(path)} cannot be read from JSON as a whole ({shown(node)}): use a type that can, as list"
        if node.kind == "default":
            yield from _certain_of_default(path, node)
        yield from _certain_of_fields(path, node)


def _certain_of_fields(path: str, node: Node) -> Iterator[str]:
    if node.kind not in ("model-fields", "dataclass-args", "typed-dict"):
        return
    for field in fields_of(node) or ():
        place = f"{path}.{field.name}" if path else field.name
        if not field.written:
            yield f"{_at(place)} is read and never written (exclude=True): drop the exclude, or the field"
        elif field.read_as is None or field.written_as not in field.read_as:
            known = " or ".join(sorted(field.read_as or ())) or "a place inside another value"
            yield f"{_at(place)} is written as '{field.written_as}' and read as {known}: give it one alias, or none"
    computed = computed_fields_of(node)
    if computed and extra_of(node) != "ignore":
        name = next(iter(computed))
        yield (
            f"the computed field '{name}' is written and cannot be read again (extra='{extra_of(node)}'): "
            "use extra='ignore', or a plain property"
        )


def _certain_of_default(path: str, node: Node) -> Iterator[str]:
    default = node.schema.get("default")
    if "default" not in node.schema:
        return
    schema: Any = node.inner().alone()
    config: Any = node.config
    try:
        written = SchemaSerializer(schema, config).to_json(default, by_alias=True, warnings=False)
        again = SchemaValidator(schema, config).validate_json(written)
    except BaseException as error:  # a user's validator or serializer may raise anything
        if is_pressed(error):
            raise
        again = _NOTHING
    if again is _NOTHING or difference(default, again) is not None:
        expected = shown(node.inner())
        remedy = f"write `{expected} | None = None`" if default is None else "make the default one of that type"
        yield f"{_at(path)} is {expected} and cannot read its own default again ({default!r}): {remedy}"


def _tried(model: type[BaseModel]) -> str | None:
    """What reading a few samples, writing them, and reading them again shows."""
    for document in documents(model):
        try:
            made = validate(model, document)
        except BaseException as error:  # a sample that does not fit shows nothing
            if is_pressed(error):
                raise
            continue
        try:
            body = made.__pydantic_serializer__.to_json(made, by_alias=True, warnings=False)
            place = changed(made, body)
        except BaseException as error:  # a user's serializer may raise anything
            if is_pressed(error):
                raise
            return f"a value that it reads cannot be written again ({told(error)})"
        if place is not None:
            return (
                f"{_at(place)} changes when it is written and read again (tried with {document.decode()}): validators "
                "and serializers must leave alone what they have made, since every message is read anew"
            )
    return None


def _at(path: str) -> str:
    return f"the field '{path}'" if path else "the model"
