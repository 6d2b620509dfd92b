"""A model's structure as pydantic sees it: its core schema, node by node, with what holds at each.

The annotation is what the user wrote; the core schema is what will be done. Only the second knows of validators,
serializers, aliases and strictness, so everything that judges a model walks it (docs/decisions/0015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter

Schema = Mapping[str, Any]

_NAMES = {
    "none": "None",
    "any": "Any",
    "decimal": "Decimal",
    "uuid": "UUID",
    "url": "Url",
    "multi-host-url": "Url",
}
_OF_CLASSES = {"model", "dataclass", "enum", "named-tuple", "typed-dict", "is-instance", "is-subclass"}
_SHOWN_DEPTH_MAX = 8
"""A type may contain itself."""

_WITH_FIELDS = {"model-fields", "dataclass-args", "typed-dict"}


class Node(NamedTuple):
    """One place of a schema.

    Attributes:
        schema: pydantic's own.
        definitions: what its references mean.
        config: of the model it is in.

    """

    schema: Schema
    definitions: Mapping[str, Schema]
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Its type, as `int`, `list`, `model` or `function-after`."""
        return str(self.schema["type"])

    @property
    def strict(self) -> bool:
        """Whether values of other kinds are refused here instead of converted."""
        return bool(self.schema.get("strict", self.config.get("strict", False)))

    def at(self, schema: Schema) -> Node:
        """The node of `schema`, which stands inside this one."""
        return Node(schema, self.definitions, self.config).opened()

    def inner(self) -> Node:
        """The only node inside this one."""
        return self.at(self.schema["schema"])

    def opened(self) -> Node:
        """The node that a reference leads to; a model's with its own configuration."""
        schema, definitions, config = self
        while schema["type"] in ("definitions", "definition-ref"):
            if schema["type"] == "definitions":
                definitions = {**definitions, **{item["ref"]: item for item in schema["definitions"]}}
                schema = schema["schema"]
            else:
                schema = definitions[schema["schema_ref"]]
        if schema["type"] in ("model", "dataclass", "typed-dict"):
            config = schema.get("config", {})
        return Node(schema, definitions, config)

    def json(self) -> Node:
        """The branch that reads JSON; the node itself where there is only one."""
        node = self
        while node.kind in ("lax-or-strict", "json-or-python"):
            if node.kind == "json-or-python":
                node = node.at(node.schema["json_schema"])
            else:
                node = node.at(node.schema["strict_schema" if node.strict else "lax_schema"])
        return node

    def alone(self) -> Any:
        """Its schema with all that it refers to, to make a validator or a serializer of."""
        return {"type": "definitions", "schema": self.schema, "definitions": [*self.definitions.values()]}

    def choices(self) -> list[Node]:
        """The alternatives of a union."""
        choices = self.schema["choices"]
        found = choices.values() if isinstance(choices, Mapping) else choices
        return [self.at(choice[0] if isinstance(choice, tuple) else choice) for choice in found]


class FieldNode(NamedTuple):
    """A field of a model, dataclass or typed dictionary.

    Attributes:
        name: in Python.
        node: its type.
        written_as: its key in JSON, when it is written.
        read_as: the keys under which it is read; None where it is looked for inside of something else.
        required: it must be there when it is read.
        written: it is written at all.

    """

    name: str
    node: Node
    written_as: str
    read_as: frozenset[str] | None
    required: bool
    written: bool


def of_model(model: type[BaseModel]) -> Node:
    """The structure of a model.

    Raises:
        PydanticUserError: an annotation of it cannot be resolved.

    """
    if not model.__pydantic_complete__:
        model.model_rebuild()
    return Node(model.__pydantic_core_schema__, {}, {}).opened()


def of_type(annotation: Any) -> Node:
    """The structure of any type.

    Raises:
        PydanticUserError: pydantic knows no such type.

    """
    schema: Any = TypeAdapter(annotation).core_schema
    return Node(schema, {}, {}).opened()


def fields_of(node: Node) -> list[FieldNode] | None:
    """The fields of an object's node, through what is wrapped around it; None where it has no fixed ones."""
    while True:
        if node.kind in _WITH_FIELDS:
            fields = node.schema["fields"]
            named = fields.items() if isinstance(fields, Mapping) else ((item["name"], item) for item in fields)
            return [_field(node, name, field) for name, field in named]
        if not isinstance(node.schema.get("schema"), Mapping) or node.schema.get("root_model"):
            return None
        node = node.inner()


def computed_fields_of(node: Node) -> dict[str, Node]:
    """What an object's node writes and nobody gives: its computed fields, by their keys."""
    while True:
        if node.kind in _WITH_FIELDS:
            computed = node.schema.get("computed_fields", ())
            return {item.get("alias") or item["property_name"]: node.at(item["return_schema"]) for item in computed}
        if not isinstance(node.schema.get("schema"), Mapping):
            return {}
        node = node.inner()


def takes_any_value(node: Node) -> bool:
    """Whether an enumeration finds a member for values that none of its members has."""
    own: Any = getattr(node.schema.get("cls"), "_missing_", None)
    base: Any = Enum._missing_
    return node.kind == "enum" and own is not None and own.__func__ is not base.__func__


def reads_its_own_way(node: Node) -> bool:
    """Whether a validator of the user's sees an object's JSON before its fields do, and may change it."""
    while node.kind not in _WITH_FIELDS and isinstance(node.schema.get("schema"), Mapping):
        if node.kind in ("function-before", "function-wrap"):
            return True
        node = node.inner()
    return node.kind not in _WITH_FIELDS


def extra_of(node: Node) -> str:
    """What an object's node does about keys it does not know: `ignore`, `forbid` or `allow`."""
    while node.kind not in ("model", "dataclass", "typed-dict") and "schema" in node.schema:
        node = node.inner()
    return str(node.schema.get("extra_behavior") or node.config.get("extra_fields_behavior") or "ignore")


def children_of(node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes right inside of one, each with its place: `sku`, `[]`, or nothing where it is the same value."""
    if node.kind in _WITH_FIELDS:
        yield from ((field.name, field.node) for field in fields_of(node) or ())
        return
    for key, place in (("schema", ""), ("json_schema", ""), ("keys_schema", "[]"), ("values_schema", "[]")):
        if isinstance(node.schema.get(key), Mapping):
            yield place, node.at(node.schema[key])
    if node.kind == "lax-or-strict":
        yield "", node.json()
    if "choices" in node.schema:
        yield from (("", choice) for choice in node.choices())
    items = node.schema.get("items_schema")
    if items is not None:
        yield from (("[]", node.at(item)) for item in (items if isinstance(items, list) else [items]))
    if node.kind == "chain":
        yield from (("", node.at(step)) for step in node.schema["steps"])


def shown(node: Node, depth: int = 0) -> str:
    """The node's type in words that a user knows: `list[Item]`, `str | None`, `Decimal`."""
    schema, kind = node.schema, node.kind
    if kind in _OF_CLASSES:
        return str(getattr(schema.get("cls"), "__name__", kind))
    if kind == "literal":
        return f"Literal[{', '.join(repr(_value(item)) for item in schema['expected'])}]"
    if depth > _SHOWN_DEPTH_MAX:
        return "…"
    inside = [shown(child, depth + 1) for place, child in children_of(node) if place in ("", "[]")]
    if kind in ("list", "set", "frozenset", "tuple", "dict", "generator"):
        return f"{kind}[{', '.join(inside)}]" if inside else kind
    if kind == "nullable":
        inside.append("None")
    return " | ".join(dict.fromkeys(inside)) or _NAMES.get(kind, kind if "-" not in kind else "a type of its own")


def _field(node: Node, name: str, field: Schema) -> FieldNode:
    inner = node.at(field["schema"])
    required = field.get("required", node.schema.get("total", True)) if node.kind == "typed-dict" else True
    return FieldNode(
        name=name,
        node=inner,
        written_as=field.get("serialization_alias") or name,
        read_as=_read_as(node, name, field.get("validation_alias")),
        required=bool(required) and not _has_default(inner),
        written=not field.get("serialization_exclude", False),
    )


def _read_as(node: Node, name: str, alias: Any) -> frozenset[str] | None:
    if alias is None:
        return frozenset({name})
    paths = [[alias]] if isinstance(alias, str) else [alias] if isinstance(alias[0], str | int) else list(alias)
    names = {str(path[0]) for path in paths if len(path) == 1}
    if node.config.get("validate_by_alias") is False:
        names = set()
    if node.config.get("validate_by_name") or node.config.get("populate_by_name"):
        names.add(name)
    return frozenset(names) if names else None


def _has_default(node: Node) -> bool:
    while node.kind != "default":
        if not node.kind.startswith("function-") or "schema" not in node.schema:
            return False
        node = node.inner()
    return True


def _value(item: Any) -> Any:
    return item.value if isinstance(item, Enum) else item
