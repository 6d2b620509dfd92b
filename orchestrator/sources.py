"""Where a command's fields come from: the request, an earlier step's reply, or a function of the user's.

Sources are settled when the definition is built, so that a running saga never finds a field missing, or of a kind
that its command does not read.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, RootModel

from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.faithful import complaint
from kafka_saga.schemas.fit import Misfit, kinds_written, misfit, reads_null
from kafka_saga.schemas.sensitive import member, sensitivity_of
from kafka_saga.schemas.structure import FieldNode, Node, fields_of, of_model, of_type, reads_its_own_way, shown


class SagaData(NamedTuple):
    """What a saga knows: handed to a user's field function.

    Attributes:
        request: the request's fields.
        replies: each succeeded step's reply, by the step's name.

    """

    request: Mapping[str, Any]
    replies: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """A named field of the request (`step` is None) or of a step's reply."""

    step: str | None
    field: str

    def __str__(self) -> str:
        return f"request.{self.field}" if self.step is None else f"{self.step}.{self.field}"

    def read(self, data: SagaData) -> Any:
        document = data.request if self.step is None else data.replies.get(self.step)
        return None if document is None else document.get(self.field)


FieldFunction = Callable[[SagaData], Any]
FieldSource = Source | FieldFunction


def from_request(field: str) -> Source:
    """Take the field from the request: settles a name that several things provide."""
    return Source(None, field)


def from_reply(step: str, field: str) -> Source:
    """Take the field from the reply of an earlier step."""
    return Source(step, field)


@dataclass(frozen=True, slots=True)
class Provider:
    """Something that offers fields by name to the commands after it."""

    step: str | None
    model: type[BaseModel]
    own: bool = False
    """The command's own action: an in-doubt step has no reply, so only optional fields may use it (R15)."""

    def __str__(self) -> str:
        return f"the request ({self.model.__name__})" if self.step is None else f"the reply of step '{self.step}'"


def settle(
    where: str, model: type[BaseModel], explicit: Mapping[str, FieldSource], providers: list[Provider]
) -> dict[str, FieldSource]:
    """The source of every field of a command.

    Args:
        where: how errors name the command, `saga 'order', step 'x', action ReserveItems`.
        model: the command.
        explicit: sources the user chose.
        providers: what may fill the rest by name.

    Raises:
        DefinitionError: a field that nothing provides, that two things provide, that does not exist, that an
            in-doubt step could not fill, or whose source gives what it does not read.

    """
    argument = "action_fields" if " action " in where else "compensation_fields"
    for name in explicit:
        if name not in model.model_fields:
            known = ", ".join(model.model_fields) or "none"
            raise DefinitionError(f"{where}: {argument} names '{name}', but the command has no such field ({known})")
    settled: dict[str, FieldSource] = {}
    is_free = reads_its_own_way(of_model(model))
    for field in fields_by_name(model).values():
        place = f"{where}: the field '{field.name}'"
        by_name = None if field.name in explicit else _by_name(where, argument, field.name, providers)
        if by_name is None and field.name not in explicit:
            if field.required:
                raise DefinitionError(
                    f"{where}: nothing provides the field '{field.name}': add it to the request or to an earlier "
                    f"reply, give it a default, or say how in {argument}={{'{field.name}': ...}}"
                )
            _check_default(place, argument, field.name, model)
            continue
        source = by_name or explicit[field.name]
        if isinstance(source, Source):
            _check(place, argument, field, source, providers, is_free=is_free)
        else:
            _check_function(place, argument, field.name, source)
            if not is_free:
                _check_returned(place, field, source)
        settled[field.name] = source
    return settled


def check_message(where: str, model: object) -> None:
    """Refuse a model that cannot be a message: its fields, by their names, are the wire's, and are read again alike.

    Raises:
        DefinitionError: it is no model, no JSON object, one of its fields goes by another name, or its values
            would change on their way (R58).

    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise DefinitionError(f"{where}: a message is a pydantic model: derive it from BaseModel")
    if issubclass(model, RootModel):
        raise DefinitionError(f"{where}: a message is one JSON object: derive it from BaseModel, not RootModel")
    for name, field in model.model_fields.items():
        if (field.alias or name, field.validation_alias or name, field.serialization_alias or name) != (name,) * 3:
            raise DefinitionError(
                f"{where}: the field '{name}' has an alias, but messages are filled by name: "
                "drop the alias and name it as it stands on the wire"
            )
    unfaithful = complaint(model)
    if unfaithful is not None:
        raise DefinitionError(f"{where}: {unfaithful}")


def check_id(where: str, request: type[BaseModel], id_from: object) -> None:
    """Refuse an `id_from` that cannot be a saga's id.

    Raises:
        DefinitionError: the request has no such field, or it is never text, or sensitive.

    """
    if not isinstance(id_from, str):
        raise DefinitionError(f"{where}: id_from is {id_from!r}; it must be the name of a field of the request")
    field = fields_by_name(request).get(id_from)
    if field is None:
        raise DefinitionError(
            f"{where}: id_from='{id_from}' is not a field of {request.__name__} ({', '.join(request.model_fields)})"
        )
    if kinds_written(field.node) <= _NO_TEXT:
        raise DefinitionError(
            f"{where}: id_from='{id_from}' is {shown(field.node)}, and a saga's id is text: make it str, choose "
            "another field, or leave id_from out and send the id as the record's key"
        )
    if member(id_from, sensitivity_of(request).field(id_from)).any:
        raise DefinitionError(
            f"{where}: id_from='{id_from}' is marked as sensitive, and a saga's id stands in every key, header and log "
            "line: choose a field that may be seen"
        )


_NO_TEXT = {"null", "boolean", "integer", "number", "array", "object"}


def fields_by_name(model: type[BaseModel]) -> dict[str, FieldNode]:
    """The fields of a message."""
    return {field.name: field for field in fields_of(of_model(model)) or ()}


def _by_name(where: str, argument: str, name: str, providers: list[Provider]) -> Source | None:
    found = [provider for provider in providers if name in provider.model.model_fields]
    if len(found) > 1:
        options = " or ".join(
            f"from_request('{name}')" if item.step is None else f"from_reply('{item.step}', '{name}')" for item in found
        )
        raise DefinitionError(
            f"{where}: the field '{name}' is provided by {' and by '.join(map(str, found))}: "
            f"choose one with {argument}={{'{name}': {options}}}"
        )
    return Source(found[0].step, name) if found else None


def _check(
    place: str, argument: str, field: FieldNode, source: Source, providers: list[Provider], *, is_free: bool
) -> None:
    provider = next((item for item in providers if item.step == source.step), None)
    if provider is None:
        raise DefinitionError(f"{place} is taken from step '{source.step}', which does not come before it")
    given = fields_by_name(provider.model).get(source.field)
    if given is None:
        raise DefinitionError(f"{place} is taken from '{source}', but {provider} has no such field")
    if provider.own and not reads_null(field.node):
        raise DefinitionError(
            f"{place} comes from the reply of its own action, which an in-doubt step does not have: make it optional "
            f"(`{field.name}: ... | None = None`) and find what to undo by the saga id"
        )
    found = None if is_free else misfit(given.node, field.node)
    # A field with a default keeps it where None is given that it does not accept.
    if found is not None and not (found.only_null and not found.path and not field.required):
        told = _told(found, field, given, provider)
        raise DefinitionError(f"{place} {told}: {_remedy(found, argument, field, source)}")


def _told(found: Misfit, field: FieldNode, given: FieldNode, provider: Provider) -> str:
    told = f"is {shown(field.node)}, but {provider} gives {shown(given.node)}"
    if not found.path:
        return f"{told}, and {found.why}" if found.why else told
    what = found.why or f"{found.written} is written where {found.read} is read"
    return f"{told}: at '{found.path}' {what}"


def _remedy(found: Misfit, argument: str, field: FieldNode, source: Source) -> str:
    data = "data.request" if source.step is None else f"data.replies['{source.step}']"
    function = f"{argument}={{'{field.name}': lambda data: …{data}['{source.field}']…}}"
    if not found.only_null or found.path:
        return f"make them one type, or convert it with {function}"
    optional = f"`{field.name}: {shown(field.node)} | None`"
    return f"accept None ({optional}), give it a default, or say what stands for None with {function}"


def _check_default(place: str, argument: str, name: str, model: type[BaseModel]) -> None:
    """Refuse a default that is another one each time: a command that is sent again must be the same (R2)."""
    field = model.model_fields[name]
    if field.default_factory is None or field.default_factory_takes_validated_data:
        return
    try:
        first, second = field.get_default(call_default_factory=True), field.get_default(call_default_factory=True)
    except Exception:  # noqa: BLE001 -- a user's factory may want a world that is not there yet
        return
    if first != second:
        raise DefinitionError(
            f"{place} is filled by a default_factory that gives another value each time, so a command that is sent "
            f"again would be another one: take it from the request, or say how in {argument}={{'{name}': ...}}"
        )


def _check_function(place: str, argument: str, name: str, source: object) -> None:
    """Refuse what cannot be asked for a field's value with one argument, at once."""
    remedy = f"write {argument}={{'{name}': lambda data: …}}, a function of SagaData that returns the value"
    if isinstance(source, str):
        raise DefinitionError(
            f"{place} is taken from the text {source!r}: name its source, from_request({source!r}) or "
            f"from_reply('step', {source!r}); for the text itself {argument}={{'{name}': lambda data: {source!r}}}"
        )
    if not callable(source) or isinstance(source, type):
        kind = f"the class {source.__name__}" if isinstance(source, type) else f"{source!r}"
        raise DefinitionError(f"{place} is taken from {kind}, which is no source: {remedy}")
    function: Any = source
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(function, "__call__", function)  # noqa: B004 -- an object's own `async def __call__`
    for kind, is_kind in _NEVER_AT_ONCE.items():
        if is_kind(function) or is_kind(called):
            raise DefinitionError(f"{place} is taken from {kind}, and is needed at once: {remedy}")
    try:
        inspect.signature(source).bind(None)
    except TypeError:
        raise DefinitionError(
            f"{place} is taken from a function that cannot be called with one argument: {remedy}"
        ) from None
    except ValueError:
        return  # some functions of other languages have no signature


def _check_returned(place: str, field: FieldNode, source: object) -> None:
    """Refuse a function that says it returns what its field does not read."""
    returned = _returned(source)
    found = None if returned is None else misfit(returned, field.node)
    if returned is not None and found is not None and not (found.only_null and not field.required):
        told = f"is {shown(field.node)}, but its function says that it returns {shown(returned)}"
        raise DefinitionError(f"{place} {told}: make them one type")


def _returned(function: Any) -> Node | None:
    """The type that a function says it returns; None where it says none that pydantic knows."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        annotated = function if inspect.isroutine(function) else type(function).__call__
        hint = get_type_hints(annotated, include_extras=True).get("return", Any)
        return of_type(hint)
    except Exception:  # noqa: BLE001 -- annotations may name what is not there, and types may be anybody's
        return None


_NEVER_AT_ONCE: dict[str, Callable[[Any], bool]] = {
    "an async function": inspect.iscoroutinefunction,
    "a generator": inspect.isgeneratorfunction,
    "an async generator": inspect.isasyncgenfunction,
}
