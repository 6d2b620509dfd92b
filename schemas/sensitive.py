"""Which parts of a message are sensitive, and what is shown in their place.

    class OrderRequested(BaseModel):
        order_id: str
        card_number: Sensitive[str]
        iban: str = Field(json_schema_extra={"saga": "sensitive"})

Both ways of marking stand in the model's JSON Schema, and that schema alone is asked here: whatever pydantic can nest
(models, lists, unions, values of a dict, a whole model by its `model_config`) is found where it stands. Where a model
has a sensitive part, what its schema does not explain is masked, too: a field that it does not declare, or a value of
another kind than it says, may be the sensitive one under a wrong name.

Nothing here changes what is sent or stored: masks are put on copies for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from kafka_saga.schemas.shapes import schema_as_read, schema_as_written

Schema = Mapping[str, Any]

KEYWORD, VALUE = "saga", "sensitive"
"""What marks a schema."""

MASK = "********"
"""What is shown instead. It says nothing of the length."""

_SECRET_LENGTH_MIN = 4
"""Shorter texts are words and counts that stand in any sentence: blanking them would garble it and hide nothing."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Marks what it annotates as sensitive."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), KEYWORD: VALUE}


T = TypeVar("T")

Sensitive = Annotated[T, Mark()]
"""`Sensitive[str]`: text that people see only when they ask for it."""


class Place(NamedTuple):
    """A schema, and the document whose definitions it refers to."""

    schema: Schema
    root: Schema


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What of one kind of message is sensitive.

    Attributes:
        places: the schemas that it may have; what one of them marks is masked.
        any: whether anything is.

    """

    places: tuple[Place, ...]
    any: bool

    def mask(self, document: Any) -> Any:
        """A copy for people; the document itself where nothing is sensitive."""
        return _mask(document, self.places, []) if self.any else document

    def secrets(self, document: Any) -> frozenset[str]:
        """The texts and numbers that `mask` hides, to be found again in sentences."""
        hidden: list[Any] = []
        if self.any:
            _mask(document, self.places, hidden)
        return frozenset(text for value in hidden for text in _texts(value))

    def hides(self, path: Sequence[str]) -> bool:
        """Whether a field of a field, as deep as `path` says, is sensitive, has such a part, or is not declared."""
        places = list(self.places)
        for name in path:
            options = list(_options(places))
            if _is_marked(options):
                return True
            places = [found for place in options for found in _of_member(place, name)]
        return self.any and (not places or any(_is_marked_within(schema, root) for schema, root in _options(places)))

    def field(self, name: str) -> tuple[Place, ...]:
        """What is known of one field of the message."""
        return tuple(found for place in _options(self.places) for found in _of_member(place, name))

    def joined(self, *others: Sensitivity) -> Sensitivity:
        """What is sensitive for one of several."""
        every = (self, *others)
        return Sensitivity(tuple(place for one in every for place in one.places), any(one.any for one in every))


_ALL: Schema = {KEYWORD: VALUE}

EVERYTHING = Sensitivity((Place(_ALL, _ALL),), any=True)
"""Where nobody knows what is."""

NOTHING = Sensitivity((), any=False)


@cache
def sensitivity_of(model: type[BaseModel]) -> Sensitivity:
    """What of a model's messages is sensitive, by what it reads and by what it writes."""
    try:
        roots: list[Schema] = [schema_as_read(model), schema_as_written(model)]
    except Exception:  # noqa: BLE001 -- a user's own schema function may raise anything: its marks are not known
        return NOTHING.joined(EVERYTHING) if _has_mark(model) else NOTHING
    return Sensitivity(tuple(Place(root, root) for root in roots), any(map(_is_marked_within, roots)))


def member(name: str, places: Iterable[Place]) -> Sensitivity:
    """A message of which one field is known: what `places` say of it."""
    found = tuple(places)
    wrapped = tuple(Place({"type": "object", "properties": {name: place.schema}}, place.root) for place in found)
    return Sensitivity(wrapped, any(_is_marked_within(one.schema, one.root) for one in found))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A sentence without the secrets, the longest first: one may be a part of another."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def redact(document: Any, secrets: frozenset[str]) -> Any:
    """A document in whose texts and numbers no secret stands."""
    if not secrets:
        return document
    if isinstance(document, str):
        return redacted(document, secrets)
    if isinstance(document, Mapping):
        return {name: redact(value, secrets) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [redact(value, secrets) for value in document]
    return MASK if str(document) in secrets and not isinstance(document, bool) else document


def _mask(value: Any, places: Sequence[Place], hidden: list[Any]) -> Any:
    options = list(_options(places))
    fitting = [place for place in options if _explains(place.schema, value)]
    if value is None:
        return None  # that there is nothing says nothing of it
    if not fitting or _is_marked(options):
        hidden.append(value)
        return MASK
    if isinstance(value, Mapping):
        return {
            name: _mask(inner, [found for place in fitting for found in _of_member(place, name)], hidden)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _mask(inner, [found for place in fitting for found in _of_item(place, index)], hidden)
            for index, inner in enumerate(value)
        ]
    return value


def _options(places: Iterable[Place]) -> Iterator[Place]:
    """Everything that is said of a value: by the schemas, by what they refer to, and by the members of unions."""
    waiting, seen = list(places), set[int]()
    while waiting:
        schema, root = waiting.pop()
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        parts = [part for union in ("anyOf", "oneOf", "allOf") for part in schema.get(union, ())]
        if "$ref" in schema:
            parts.append(root["$defs"][schema["$ref"].rpartition("/")[2]])
        waiting += [Place(part, root) for part in parts]
        if not parts or schema.get(KEYWORD) == VALUE:
            yield Place(schema, root)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list, tuple),
    "string": (str, bytes),
    "integer": (int, float),
    "number": (int, float, str),
    "boolean": (bool, int, str),
    "null": (),
}


def _explains(schema: Schema, value: Any) -> bool:
    """Whether a value is of a kind that the schema speaks of; strictly for what has parts, kindly for the rest."""
    kind = schema.get("type")
    if kind is None:
        return True
    return any(isinstance(value, _KINDS.get(one, (object,))) for one in ([kind] if isinstance(kind, str) else kind))


def _of_member(place: Place, name: str) -> Iterator[Place]:
    schema, root = place
    properties = schema.get("properties", {})
    more = schema.get("additionalProperties")
    if name in properties:
        yield Place(properties[name], root)
        return
    patterns = schema.get("patternProperties", {})
    yield from (Place(one, root) for one in patterns.values())  # a pattern is not tried: all may apply
    if isinstance(more, Mapping):
        yield Place(more, root)
    elif not properties and not patterns:  # a dict of anything
        yield Place({}, root)


def _of_item(place: Place, index: int) -> Iterator[Place]:
    schema, root = place
    prefix = schema.get("prefixItems", ())
    if index < len(prefix):
        yield Place(prefix[index], root)
    elif isinstance(schema.get("items"), Mapping):
        yield Place(schema["items"], root)
    elif not prefix:  # a list of anything
        yield Place({}, root)


def _is_marked(options: Iterable[Place]) -> bool:
    return any(place.schema.get(KEYWORD) == VALUE for place in options)


def _is_marked_within(schema: Any, root: Schema | None = None) -> bool:
    """Whether a mark stands anywhere below; definitions are part of their document."""
    if isinstance(schema, Mapping):
        marked = schema.get(KEYWORD) == VALUE
        followed = root is not None and "$ref" in schema and _is_marked_within(root.get("$defs", {}))
        return marked or followed or any(_is_marked_within(part, root) for part in schema.values())
    return isinstance(schema, list) and any(_is_marked_within(part, root) for part in schema)


def _has_mark(model: type[BaseModel]) -> bool:
    """Whether one of the model's own fields is marked, as far as that is seen without its schema."""
    return any(
        any(isinstance(one, Mark) for one in field.metadata)
        or (isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get(KEYWORD) == VALUE)
        for field in model.model_fields.values()
    )


def _texts(value: Any) -> Iterator[str]:
    """The texts and numbers of a value that are long enough to be known again."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif not isinstance(value, bool) and value is not None and len(str(value)) >= _SECRET_LENGTH_MIN:
        yield str(value)
