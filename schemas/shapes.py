"""Whether what one model writes is what another one reads: two services' own copies of one message.

Compared is what stands on the wire, as pydantic's JSON Schemas say it: the writer's as it is serialised, the reader's
as it is validated. A copy with the same shape fits, whatever its class is called and where it lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

Schema = Mapping[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("multipleOf", "pattern", "uniqueItems")

_ANY_TEXT = ("path", "binary", "password")
"""Formats that every text has."""

_ANYTHING: Schema = {}


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where writer and reader do not agree.

    Attributes:
        field: where, `items.sku`.
        what: what the writer does and what the reader does about it.
        fails: every message fails, or every one with such a value; otherwise some may, or something is not read.

    """

    field: str
    what: str
    fails: bool = True


def differences(writer: type[BaseModel], reader: type[BaseModel]) -> list[Difference]:
    """Where what `writer` writes is not what `reader` reads; empty where they fit."""
    if writer is reader:
        return []
    try:
        written, read = schema_as_written(writer), schema_as_read(reader)
    except Exception as error:  # noqa: BLE001 -- a user's own schema function may raise anything
        return [Difference("", f"they cannot be compared: {type(error).__name__}: {error}", fails=False)]
    return list(_Comparison(written, read).run())


def schema_as_written(model: type[BaseModel]) -> Schema:
    """The JSON Schema of what a model writes; a type that has none may be anything.

    Raises:
        Exception: whatever a user's own schema function raises.

    """
    return model.model_json_schema(mode="serialization", schema_generator=_AsWritten)


def schema_as_read(model: type[BaseModel]) -> Schema:
    """The same of what it reads."""
    return model.model_json_schema(mode="validation", schema_generator=_Lenient)


class _Lenient(GenerateJsonSchema):
    """A type that JSON Schema cannot say may be anything: what cannot be compared is not complained of."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> dict[str, Any]:
        del schema, error_info
        return {}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        """Tell its text from any other text."""
        said = super().decimal_schema(schema)
        for option in said.get("anyOf", [said]):
            if option.get("type") == "string":
                option["format"] = "decimal"
        return said

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: defaults that JSON cannot hold are of no interest here."""


class _AsWritten(_Lenient):
    """We write defaults, too, so that a field with a default is always there."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return field["type"] != "typed-dict-field" or super().field_is_required(field, total)


class _Comparison:
    def __init__(self, writer: Schema, reader: Schema) -> None:
        self._writer = writer
        self._reader = reader
        self._known: dict[tuple[str, str], list[Difference]] = {}
        """What was found of two named models, with fields as seen from there."""

    def run(self) -> Iterator[Difference]:
        yield from self._compare("", self._writer, self._reader)

    def _compare(self, at: str, writer: Schema, reader: Schema) -> Iterator[Difference]:
        pair = (str(writer.get("$ref", "")), str(reader.get("$ref", "")))
        if not all(pair):
            yield from self._of_types(at, writer, reader)
            return
        if pair not in self._known:
            self._known[pair] = []  # until it is compared: a model that holds itself differs in nothing more
            self._known[pair] = list(self._of_types("", writer, reader))
        for found in self._known[pair]:
            yield replace(found, field=_joined(at, found.field))

    def _of_types(self, at: str, writer: Schema, reader: Schema) -> Iterator[Difference]:
        """Everything that may be written must be something that is read."""
        written, read = _followed(writer, self._writer), _followed(reader, self._reader)
        if _says_something(written) and _says_something(read):
            reads = list(_options(read, self._reader))
            for option in _options(written, self._writer):
                yield from self._fits_one_of(at, option, reads)

    def _fits_one_of(self, at: str, option: Schema, reads: list[Schema]) -> Iterator[Difference]:
        """How it differs from what comes nearest to it among what is read; nothing where one takes it as it is."""
        like = [read for read in reads if _are_alike(option, read)]
        if like:
            yield from min((list(self._within(at, option, read)) for read in like), key=_weight)
        else:
            names = " or ".join(map(_name, reads))
            may_be = any(_may_be(option, read) for read in reads)
            yield Difference(at, f"it is written as {_name(option)} and read as {names}", fails=not may_be)

    def _within(self, at: str, written: Schema, read: Schema) -> Iterator[Difference]:
        """Two schemas of one type: their values, bounds and parts."""
        values = _values(read)
        if values is not None:
            unknown = [value for value in _values(written) or () if value not in values]
            if unknown:
                yield Difference(at, f"{', '.join(map(repr, unknown))} may be written, but is not read")
            return
        narrower = list(_narrower(written, read))
        if narrower and _values(written) is None:
            yield Difference(at, f"it is read only with {', '.join(narrower)}", fails=False)
        if _kind(read) == "array":
            yield from self._compare(f"{at}[]", written.get("items", _ANYTHING), read.get("items", _ANYTHING))
            pairs = zip(written.get("prefixItems", ()), read.get("prefixItems", ()), strict=False)
            for index, (one, other) in enumerate(pairs):  # the bounds tell of other lengths
                yield from self._compare(f"{at}[{index}]", one, other)
        elif _kind(read) == "object":
            yield from self._objects(at, written, read)

    def _objects(self, at: str, written: Schema, read: Schema) -> Iterator[Difference]:
        writes, reads = written.get("properties", {}), read.get("properties", {})
        more_written, more_read = (schema.get("additionalProperties", True) for schema in (written, read))
        for name, schema in writes.items():
            place = _joined(at, name)
            if name in reads:
                yield from self._compare(place, schema, reads[name])
            elif more_read is False:
                yield Difference(place, "it is written, and the reader forbids fields that it does not know")
            elif isinstance(more_read, Mapping):
                yield from self._compare(place, schema, more_read)
            else:
                yield Difference(place, "it is written and not read", fails=False)
        for name, schema in reads.items():
            if name in writes and (name in written.get("required", ()) or name not in read.get("required", ())):
                continue
            place = _joined(at, name)
            if isinstance(more_written, Mapping) and not writes:
                yield from self._compare(place, more_written, schema)
            elif name in read.get("required", ()):
                yield Difference(place, "it is needed and not always written" if name in writes else _NEVER)
            else:
                yield Difference(place, "it is optional for the reader, and never written", fails=False)
        if isinstance(more_written, Mapping) and isinstance(more_read, Mapping):
            yield from self._compare(f"{at}{{}}", more_written, more_read)


def _joined(at: str, field: str) -> str:
    return f"{at}.{field}" if at and field and field[0] not in "[{" else f"{at}{field}"


_NEVER = "it is needed and never written"


def _says_something(schema: Schema) -> bool:
    return any(key in schema for key in ("type", "enum", "const", "anyOf", "oneOf", "properties"))


def _followed(schema: Schema, root: Schema) -> Schema:
    while True:
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        else:
            return schema


def _options(schema: Schema, root: Schema) -> Iterator[Schema]:
    """What a value may be: the members of a union, or the one type."""
    schema = _followed(schema, root)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            for option in schema[union]:
                yield from _options(option, root)
            return
    yield schema


def _kind(schema: Schema) -> str:
    """The JSON type; of values without one, theirs."""
    if "type" in schema:
        return str(schema["type"])
    kinds = {_KINDS.get(type(value), "value") for value in _values(schema) or ()}
    return kinds.pop() if len(kinds) == 1 else "value"


_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _values(schema: Schema) -> list[Any] | None:
    """The only values there are, or None where any will do."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return None if values is None else list(values)


def _are_alike(written: Schema, read: Schema) -> bool:
    """Whether the one type may be read as the other, as far as its name tells."""
    if not (_says_something(written) and _says_something(read)):
        return True
    kinds = (_kind(written), _kind(read))
    if kinds == ("string", "number"):
        return written.get("format") == "decimal"  # of a Decimal, any reader of numbers makes one
    formats = read.get("format") in {None, written.get("format"), *_ANY_TEXT}
    values = _values(read) is None or _values(written) is not None
    return (kinds[0] == kinds[1] or kinds == ("integer", "number")) and formats and values


def _may_be(written: Schema, read: Schema) -> bool:
    """Whether it depends on the value: any text may be a UUID or one of an enum's words, any number whole (0015)."""
    kinds, formats = {_kind(written), _kind(read)}, {written.get("format"), read.get("format")}
    alike = len(kinds) == 1 or kinds == {"integer", "number"}
    return alike and _values(written) is None and ("format" not in written or formats == {"date", "date-time"})


def _narrower(written: Schema, read: Schema) -> Iterator[str]:
    """The reader's bounds that the writer does not keep to by itself."""
    for name in _LOWER:
        if name in read and not (name in written and written[name] >= read[name]):
            yield f"{name} {read[name]}"
    for name in _UPPER:
        if name in read and not (name in written and written[name] <= read[name]):
            yield f"{name} {read[name]}"
    for name in _EXACT:
        if name in read and read[name] != written.get(name):
            yield f"{name} {read[name]}"


def _name(schema: Schema) -> str:
    values = _values(schema)
    if values is not None:
        return "one of " + ", ".join(map(repr, values))
    return f"{_kind(schema)} ({schema['format']})" if "format" in schema else _kind(schema)


def _weight(found: list[Difference]) -> tuple[int, int]:
    return sum(item.fails for item in found), len(found)
