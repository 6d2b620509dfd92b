"""Documents that a model reads: what a definition is tried with before there is any real value (R58)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaValidator, to_json

from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.schemas.structure import FieldNode, Node, children_of, fields_of, of_model

_SAMPLES_MAX = 16
"""Of one place. Every one is read and written once when the module is imported."""

_DEPTH_MAX = 4

_ANY = (
    *(
        '"text"',
        '"A b "',
        '"a&b <c>"',
        '"1"',
        '"19.90"',
        '"2026-01-31"',
        '"2026-01-31T10:00:00Z"',
        '"10:00:00"',
        '"P1DT2H"',
    ),
    *('"3fa85f64-5717-4562-b3fc-2c963f66afa6"', '"ann@shop.example"', '"https://shop.example/a"', '"10.0.0.1"'),
    *("1", "7", "2.5", "0", "-3", "1990", "true", '["text"]', "[1]", '{"text": 1}', "{}"),
)
"""JSON of every kind, and of every format that a string may be asked for."""


def documents(model: type[BaseModel]) -> list[bytes]:
    """JSON objects that may fit `model`; none where no sample fits a required field."""
    return [text.encode() for text in _documents(of_model(model), 0)]


def _documents(node: Node, depth: int) -> list[str]:
    fields = fields_of(node)
    if fields is None or depth > _DEPTH_MAX:
        return []
    known: dict[str, list[str]] = {}
    for field in fields:
        found = _accepted(field, depth)
        if found and field.read_as:
            known[min(field.read_as)] = found
        elif field.required:
            return []
    count = max((len(found) for found in known.values()), default=1)
    return [
        "{" + ", ".join(f"{json.dumps(key)}: {found[turn % len(found)]}" for key, found in known.items()) + "}"
        for turn in range(count)
    ]


def _accepted(field: FieldNode, depth: int) -> list[str]:
    node = field.node
    config: Any = node.config
    try:
        validator = SchemaValidator(node.alone(), config)
    except SchemaError:
        return []
    return list(islice((text for text in _samples(node, depth) if _fits(validator, text)), _SAMPLES_MAX))


def _fits(validator: SchemaValidator, text: str) -> bool:
    try:
        validator.validate_json(text)
    except BaseException as error:  # a user's validator may raise anything
        if is_pressed(error):
            raise
        return False
    return True


def _samples(node: Node, depth: int) -> Iterator[str]:
    """JSON that may fit a node: what its structure asks for first, then all sorts."""
    node = node.json()
    kind = node.kind
    if depth > _DEPTH_MAX:
        return
    if kind in ("literal", "enum"):
        values = node.schema["expected"] if kind == "literal" else [item.value for item in node.schema["members"]]
        yield from (to_json(value).decode() for value in values)
    elif kind in ("list", "set", "frozenset", "tuple"):
        parts = [list(_samples(child, depth + 1)) for _, child in children_of(node)]
        several = parts if kind == "tuple" else [*parts, *parts]
        for turn in range(max(map(len, parts), default=0)):
            yield f"[{', '.join(part[turn % len(part)] for part in several if part)}]"
    elif kind == "dict" and "values_schema" in node.schema:
        yield from (f'{{"text": {text}}}' for text in _samples(node.at(node.schema["values_schema"]), depth + 1))
    elif fields_of(node) is not None:
        yield from _documents(node, depth + 1)
        return
    else:
        for _, child in children_of(node):
            yield from _samples(child, depth)
    yield from _ANY
