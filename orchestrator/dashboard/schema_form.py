"""A form for a JSON Schema, and the document that a filled form is. Pure: what is asked is a tree of fields.

Objects become groups of fields, lists as many as there are, enums a choice. What a form cannot say well (unions, open
objects, schemas that hold themselves) is asked for as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kafka_saga.orchestrator.dashboard.wording import number
from kafka_saga.runtime.wording import with_article
from kafka_saga.schemas.codec import decode_trusted, encode

Kind = Literal["text", "integer", "number", "flag", "choice", "group", "list", "json"]
DEPTH_MAX = 6
ITEMS_MAX = 100
"""A list with more is better sent with `saga submit`."""
_KINDS: dict[str, Kind] = {"string": "text", "integer": "integer", "number": "number", "boolean": "flag"}
_HINTS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} character{s}",
    "maxLength": "at most {} character{s}",
    "pattern": "as {}",
    "format": "{}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that is asked for.

    Attributes:
        name: its place in the document, `items.0.sku`, and its name in the form.
        label: for people.
        kind: how it is asked for.
        required: whether it must be given.
        hint: what it means and must be.
        text: what it is filled with.
        options: what can be chosen, as text.
        values: the same as the document has it.
        inner: the fields of a group, or the items of a list.

    """

    name: str
    label: str
    kind: Kind
    required: bool = False
    hint: str = ""
    text: str = ""
    options: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    inner: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a schema.

    Args:
        schema: a JSON Schema of an object.

    """

    schema: Mapping[str, Any]

    def fields(self, filled: Mapping[str, str] | None = None) -> tuple[Field, ...]:
        """What is asked for, filled with what was filled in before, or with the schema's defaults."""
        return self._group("", self._resolved(self.schema), filled, 0)

    def document(self, filled: Mapping[str, str], mistakes: Mistakes) -> dict[str, Any]:
        """The document that was filled in; what is empty and need not be given is left out.

        Args:
            filled: the texts, by the fields' names.
            mistakes: told of what is asked for as JSON and is none; it is left out, too.

        """
        return _Reader(filled, mistakes).group(self.fields(filled))

    def _group(
        self, name: str, schema: Mapping[str, Any], filled: Mapping[str, str] | None, depth: int
    ) -> tuple[Field, ...]:
        required = set(schema.get("required", ()))
        return tuple(
            self._field(f"{name}.{key}" if name else key, inner, filled, depth, required=key in required)
            for key, inner in schema.get("properties", {}).items()
        )

    def _field(
        self,
        name: str,
        schema: Mapping[str, Any],
        filled: Mapping[str, str] | None,
        depth: int,
        *,
        required: bool,
    ) -> Field:
        label = name.rpartition(".")[2]
        label = str(int(label) + 1) if label.isdigit() else label.replace("_", " ")
        schema = self._resolved(schema)
        kind, values = self._kind(schema, depth)
        shown = Field(
            name, label, kind, required, _hint(schema),
            _text(schema, kind) if filled is None else filled.get(name, ""),
            tuple(map(_as_text, values)), values,
        )  # fmt: skip
        if kind == "group":
            return _with(shown, self._group(name, schema, filled, depth + 1))
        if kind == "list":
            return _with(shown, tuple(self._items(name, schema, filled, depth)))
        return shown

    def _items(
        self, name: str, schema: Mapping[str, Any], filled: Mapping[str, str] | None, depth: int
    ) -> Iterator[Field]:
        number = max(1, schema.get("minItems", 0)) if filled is None else _count(name, filled)
        for index in range(min(number, ITEMS_MAX)):
            yield self._field(f"{name}.{index}", schema.get("items", {}), filled, depth + 1, required=True)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without references, and without the `null` of what may be missing."""
        seen = 0
        while "$ref" in schema or "anyOf" in schema or len(schema.get("allOf", ())) == 1:
            seen += 1
            if "$ref" in schema:
                found = self.schema.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
            elif "anyOf" in schema:
                ways = [one for one in schema["anyOf"] if one.get("type") != "null"]
                if len(ways) != 1:
                    return schema
                found = ways[0]
            else:
                found = schema["allOf"][0]
            schema = {**found, **{key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf")}}
            if seen > DEPTH_MAX:
                return {}
        return schema

    def _kind(self, schema: Mapping[str, Any], depth: int) -> tuple[Kind, tuple[Any, ...]]:
        if depth > DEPTH_MAX:
            return "json", ()
        if "enum" in schema:
            return "choice", tuple(schema["enum"])
        if "const" in schema:
            return "choice", (schema["const"],)
        kind = schema.get("type")
        if kind == "object" and schema.get("properties"):
            return "group", ()
        if kind == "array" and isinstance(schema.get("items"), Mapping):
            return "list", ()
        return _KINDS.get(kind, "json") if isinstance(kind, str) else "json", ()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes values of texts."""

    filled: Mapping[str, str]
    mistakes: Mistakes

    def group(self, fields: tuple[Field, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in fields:
            value = self.value(one)
            if value is not _NOTHING:
                found[one.name.rpartition(".")[2]] = value
        return found

    def value(self, one: Field) -> Any:  # noqa: PLR0911 -- one line for each kind
        if one.kind == "group":
            inner = self.group(one.inner)
            return inner if inner or one.required else _NOTHING
        if one.kind == "list":
            items = [value for item in one.inner if (value := self.value(item)) is not _NOTHING]
            return items if items or one.required else _NOTHING
        text = self.filled.get(one.name, "")
        if one.kind == "flag":
            return text == "true" if text or one.required else _NOTHING
        if text.strip() == "":
            return _NOTHING
        if one.kind in ("integer", "number"):
            return _number(text.strip())
        if one.kind == "choice":
            return next((value for value in one.values if _as_text(value) == text), text)
        return self._json(one, text) if one.kind == "json" else text

    def _json(self, one: Field, text: str) -> Any:
        try:
            return decode_trusted(text)
        except ValueError as error:
            self.mistakes.at[one.name] = f"it is not JSON: {error}"
            return _NOTHING


_NOTHING = object()
"""What was left empty."""


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What is wrong with a filled form: at fields by their names, and with all of it."""

    at: dict[str, str] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.at or self.whole)


def place(mistakes: Mistakes, known: set[str], at: tuple[int | str, ...], what: str) -> None:
    """Put a complaint about a place in the document to the nearest field that is asked for."""
    for length in range(len(at), 0, -1):
        name = ".".join(map(str, at[:length]))
        if name in known:
            mistakes.at.setdefault(name, what)
            return
    mistakes.whole.append(f"{'.'.join(map(str, at))}: {what}" if at else what)


def names(fields: tuple[Field, ...]) -> set[str]:
    """The names of all fields, inner ones too."""
    return {name for one in fields for name in (one.name, *names(one.inner))}


def with_item(filled: Mapping[str, str], name: str) -> dict[str, str]:
    """One more item of a list."""
    return {**filled, f"{name}.#": str(min(ITEMS_MAX, _count(name, filled) + 1))}


def without_item(filled: Mapping[str, str], name: str) -> dict[str, str]:
    """One item less of a list: the last."""
    last = _count(name, filled) - 1
    kept = {key: text for key, text in filled.items() if not f"{key}.".startswith(f"{name}.{last}.")}
    return {**kept, f"{name}.#": str(max(0, last))}


def _with(one: Field, inner: tuple[Field, ...]) -> Field:
    return replace(one, inner=inner)


def _count(name: str, filled: Mapping[str, str]) -> int:
    """How many items of a list the form had."""
    text = filled.get(f"{name}.#", "0")
    return min(ITEMS_MAX, int(text)) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def _hint(schema: Mapping[str, Any]) -> str:
    said = [str(schema["description"])] if schema.get("description") else []
    values = schema if "format" not in schema else {**schema, "format": with_article(str(schema["format"]))}
    said += [_hint_of(words, values[key]) for key, words in _HINTS.items() if key in values]
    return "; ".join(said)


def _hint_of(words: str, limit: Any) -> str:
    return words.format(number(limit) if type(limit) is int else limit, s="" if limit == 1 else "s")


def _text(schema: Mapping[str, Any], kind: Kind) -> str:
    if "default" not in schema or schema["default"] is None or kind in ("group", "list"):
        return ""
    return _as_text(schema["default"])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def _number(text: str) -> Any:
    """A number; what is none stays text, so that the model says what is wrong with it."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
