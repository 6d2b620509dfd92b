"""Whether what one field writes can be read by another: the annotations compared as pydantic sees them.

What is compared is the *kind* of JSON value: null, boolean, number, string, array or object. Every kind that the
writer may write must be one that the reader reads. Which values of a kind are accepted (a pattern, a range, a UUID
or a date in a string, whole numbers) is not judged here: that is known only when there is a value. Where a function
of the user's decides, everything is accepted (docs/decisions/0015).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from kafka_saga.schemas.structure import (
    Node,
    computed_fields_of,
    extra_of,
    fields_of,
    reads_its_own_way,
    shown,
    takes_any_value,
)

_ANYTHING = "anything"
_DECIMAL = "a decimal in a string"
"""A string, and one that readers of numbers may know."""

_WRITTEN = {
    "none": "null",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "decimal": _DECIMAL,
    "list": "array",
    "tuple": "array",
    "set": "array",
    "frozenset": "array",
    "generator": "array",
    "named-tuple": "array",
    "dict": "object",
    "typed-dict": "object",
    "model": "object",
    "dataclass": "object",
    "model-fields": "object",
    "dataclass-args": "object",
} | dict.fromkeys(
    ("str", "bytes", "date", "time", "datetime", "timedelta", "uuid", "url", "multi-host-url", "complex"), "string"
)

_NUMBERS = frozenset({"integer", "number"})
_TEXT = frozenset({"string", _DECIMAL})
_TIMES = ("date", "time", "datetime", "timedelta")
_READ = {
    "none": frozenset({"null"}),
    "bool": frozenset({"boolean"}),
    "int": frozenset({"integer"}),
    "float": _NUMBERS,
    "decimal": _NUMBERS | _TEXT,
    "json": _TEXT,
    "complex": _TEXT,
    "named-tuple": frozenset({"array", "object"}),
    **dict.fromkeys(("str", "bytes", "uuid", "url", "multi-host-url", *_TIMES), _TEXT),
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "generator"), frozenset({"array"})),
    **dict.fromkeys(
        ("dict", "typed-dict", "model", "dataclass", "model-fields", "dataclass-args"), frozenset({"object"})
    ),
    **dict.fromkeys(("callable", "is-instance", "is-subclass"), frozenset[str]()),
}
_READ_TOO = {
    "int": frozenset({"number", "boolean"}),
    "float": frozenset({"boolean", _DECIMAL}),
    "complex": _NUMBERS,
    **dict.fromkeys(_TIMES, _NUMBERS),
}
"""What a reader that is not strict converts from another kind, whatever the value."""


class Misfit(NamedTuple):
    """Where, and why, what is written is not read.

    Attributes:
        path: where inside the field, `[].sku`; empty for the field itself.
        written: the type that writes.
        read: the type that should read it.
        why: what does not fit, where it is not the types themselves.
        only_null: everything fits but for None.

    """

    path: str
    written: str
    read: str
    why: str = ""
    only_null: bool = False


def misfit(writer: Node, reader: Node) -> Misfit | None:
    """What of `writer` can never be read by `reader`; None where nothing is certain to fail."""
    return _compare(writer, reader, "", set())


def kinds_written(node: Node) -> set[str]:
    """The kinds of JSON value that a node may write; `anything` where nobody knows."""
    return {kind for kind, _ in _written(node)}


def reads_null(node: Node, *, for_certain: bool = False) -> bool:
    """Whether a node accepts None, as far as can be known, or for certain."""
    return any(
        (reader.kind == "any" or not for_certain) if kinds is None else "null" in kinds for kinds, reader in _read(node)
    )


def _compare(writer: Node, reader: Node, path: str, seen: set[tuple[int, int]]) -> Misfit | None:
    pair = id(writer.schema), id(reader.schema)
    if pair in seen:
        return None
    seen.add(pair)
    readers = list(_read(reader))
    if any(kinds is None for kinds, _ in readers):
        return None
    found: Misfit | None = None
    for kind, alternative in _written(writer):
        if kind == _ANYTHING:
            continue
        takers = [node for kinds, node in readers if kinds is not None and kind in kinds]
        if not takers:
            found = Misfit(path, shown(writer), shown(reader), only_null=kind == "null")
            if not found.only_null:
                return found
            continue
        inside = [_compare_inside(alternative, taker, path, seen) for taker in takers]
        if None not in inside:
            return inside[0]
    return found


def _compare_inside(writer: Node, reader: Node, path: str, seen: set[tuple[int, int]]) -> Misfit | None:
    """The same, of two nodes of one kind."""
    values, accepted = _values(writer), None if takes_any_value(reader) else _values(reader)
    if values is not None and accepted is not None and not _share(values, accepted):
        return Misfit(path, shown(writer), shown(reader), "they have no value in common")
    if "items_schema" in writer.schema and "items_schema" in reader.schema:
        return _compare_items(writer, reader, f"{path}[]", seen)
    if _WRITTEN.get(writer.kind) == "object":
        return _compare_objects(writer, reader, path, seen)
    return None


def _compare_items(writer: Node, reader: Node, path: str, seen: set[tuple[int, int]]) -> Misfit | None:
    ours, theirs = writer.schema["items_schema"], reader.schema["items_schema"]
    if isinstance(ours, list) and isinstance(theirs, list):
        if "variadic_item_index" in {*writer.schema, *reader.schema}:
            return None
        if len(ours) != len(theirs):
            return Misfit(path, shown(writer), shown(reader), f"{len(ours)} are written where {len(theirs)} are read")
        pairs = list(zip(ours, theirs, strict=True))
    elif isinstance(theirs, list):
        return None  # how many there are is known only when there is a value
    elif isinstance(ours, list):
        pairs = [(one, theirs) for one in ours]
    else:
        pairs = [(ours, theirs)]
    for one, other in pairs:
        found = _compare(writer.at(one), reader.at(other), path, seen)
        if found is not None:
            return found
    return None


def _compare_objects(writer: Node, reader: Node, path: str, seen: set[tuple[int, int]]) -> Misfit | None:
    written, read = _written_fields(writer), fields_of(reader)
    if written is None or read is None:
        return _compare_values(writer, written, reader, path, seen)
    known: set[str] = set()
    seldom = {one.written_as for one in fields_of(writer) or () if writer.kind == "typed-dict" and not one.required}
    for field in read:
        key = next((name for name in field.read_as or () if name in written), None)
        if key is not None:
            found = _compare(written[key], field.node, _join(path, key), seen)
            if found is not None:
                return found
            if field.required and key in seldom:
                why = "it is required, and not always written"
                return Misfit(_join(path, key), shown(writer), shown(reader), why)
        elif field.read_as is not None and field.required and extra_of(writer) != "allow":
            why = "it is required, and never written"
            return Misfit(_join(path, min(field.read_as)), shown(writer), shown(reader), why)
        known |= field.read_as or {*written}
    unknown = next((key for key in written if key not in known), None)
    if unknown is not None and extra_of(reader) == "forbid":
        return Misfit(_join(path, unknown), shown(writer), shown(reader), "the reader forbids it")
    return None


def _compare_values(
    writer: Node, written: dict[str, Node] | None, reader: Node, path: str, seen: set[tuple[int, int]]
) -> Misfit | None:
    """Objects of which at least one has no fixed fields, but values of one type."""
    ours, theirs = writer.schema.get("values_schema"), reader.schema.get("values_schema")
    if theirs is None:
        return None
    if "keys_schema" in writer.schema and "keys_schema" in reader.schema:
        keys = writer.at(writer.schema["keys_schema"]), reader.at(reader.schema["keys_schema"])
        if not any(_reads_key(one, other) for _, one in _written(keys[0]) for _, other in _read(keys[1])):
            return Misfit(f"{path}{{}}", shown(keys[0]), shown(keys[1]), "keys of the one are no keys of the other")
    values = [*written.values()] if written is not None else [] if ours is None else [writer.at(ours)]
    found = (_compare(value, reader.at(theirs), f"{path}[]", seen) for value in values)
    return next((item for item in found if item is not None), None)


def _reads_key(writer: Node, reader: Node) -> bool:
    """Whether a key may be read: JSON's are text, and a number's are digits."""
    if reader.kind in ("int", "float", "decimal"):
        return writer.kind not in _KEYS_OF_WORDS
    return reader.kind != "uuid" or writer.kind not in ("int", "float", "bool")


_KEYS_OF_WORDS = ("str", "uuid", "url", "multi-host-url", *_TIMES)


def _written_fields(node: Node) -> dict[str, Node] | None:
    fields = fields_of(node)
    if fields is None:
        return None
    return {field.written_as: field.node for field in fields if field.written} | computed_fields_of(node)


def _written(node: Node) -> Iterator[tuple[str, Node]]:
    """The kinds of JSON value that a node may write, each with the node that writes it."""
    how = node.schema.get("serialization")
    if how is not None and not how["type"].startswith("include-exclude"):
        yield from _written_by(node, how)
        return
    if node.kind == "nullable":
        yield "null", node
    writers = _writers_inside(node)
    if writers is not None:
        for writer in writers:
            yield from _written(writer)
    elif node.kind in ("literal", "enum"):
        yield from ((_kind_of(value), node) for value in _values(node) or ())
    elif node.kind in _TIMES and _NUMERIC_TIMES & {*node.config.values()}:
        yield "number", node
    else:
        yield _WRITTEN.get(node.kind, _ANYTHING), node


_NUMERIC_TIMES = {"float", "seconds", "milliseconds"}
"""What `ser_json_temporal` and `ser_json_timedelta` may say instead of ISO 8601."""


def _written_by(node: Node, how: Any) -> Iterator[tuple[str, Node]]:
    """What a serializer of the user's, or of pydantic's for a type of its own, writes."""
    if how.get("when_used", "").endswith("unless-none") and node.kind in ("nullable", "none"):
        yield "null", node
    if how["type"] in ("format", "to-string"):
        yield "string", node
    elif how.get("return_schema") is not None:
        yield from _written(node.at(how["return_schema"]))
    else:
        yield _ANYTHING, node


def _writers_inside(node: Node) -> list[Node] | None:
    """The nodes that write for this one, or None where it writes itself."""
    match node.kind:
        case "union" | "tagged-union":
            return node.choices()
        case "lax-or-strict":
            return [node.at(node.schema["strict_schema"])]
        case "json-or-python":
            return [node.at(node.schema["json_schema"])]
        case "chain":
            return [node.at(node.schema["steps"][-1])]
        case "nullable" | "default" | "function-after" | "function-before" | "function-wrap" | "custom-error" | "json":
            return [node.inner()] if "schema" in node.schema else None
        case _:
            return [node.inner()] if node.schema.get("root_model") else None


def _read(node: Node) -> Iterator[tuple[frozenset[str] | None, Node]]:
    """The kinds that a node reads, each with the node that reads them; None for all kinds."""
    node = node.json()
    if node.kind == "nullable":
        yield _READ["none"], node
    readers = _readers_inside(node)
    if readers is not None:
        for reader in readers:
            yield from _read(reader)
    else:
        yield _kinds_read(node), node


def _readers_inside(node: Node) -> list[Node] | None:
    """The nodes that read for this one, or None where it reads itself."""
    match node.kind:
        case "union" | "tagged-union":
            return node.choices()
        case "chain":
            return [node.at(node.schema["steps"][0])]
        case "nullable" | "default" | "function-after" | "custom-error":
            return [node.inner()]
        case "function-wrap" if node.inner().kind in ("url", "multi-host-url"):
            return [node.inner()]  # pydantic's own, of its types of URLs
        case _:
            return [node.inner()] if node.schema.get("root_model") else None


def _kinds_read(node: Node) -> frozenset[str] | None:
    if node.kind in ("literal", "enum"):
        values = _values(node)
        return None if values is None or takes_any_value(node) else frozenset().union(*map(_kinds_for, values))
    if node.kind == "model" and reads_its_own_way(node):
        return None
    if node.kind == "str" and node.schema.get("coerce_numbers_to_str", node.config.get("coerce_numbers_to_str")):
        return _TEXT | _NUMBERS
    known = _READ.get(node.kind)
    return known if known is None or node.strict else known | _READ_TOO.get(node.kind, frozenset())


def _values(node: Node) -> list[Any] | None:
    """The values of a literal or an enumeration; None for anything else."""
    if node.kind == "literal":
        return [item.value if isinstance(item, Enum) else item for item in node.schema["expected"]]
    if node.kind == "enum":
        return [member.value for member in node.schema["members"]]
    return None


def _share(values: list[Any], accepted: list[Any]) -> bool:
    return any(type(one) is type(other) and one == other for one in values for other in accepted) or any(
        not isinstance(one, str | int | bool | None) for one in (*values, *accepted)
    )


def _kind_of(value: Any) -> str:
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (type(None), "null"),
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        ((list, tuple, set, frozenset), "array"),
        (dict, "object"),
    ]
    return next((kind for types, kind in kinds if isinstance(value, types)), _ANYTHING)


def _kinds_for(value: Any) -> frozenset[str]:
    kind = _kind_of(value)
    if kind == _ANYTHING:
        return _TEXT | _NUMBERS
    return _TEXT if kind == "string" else _NUMBERS if kind in _NUMBERS else frozenset({kind})


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
