"""Where a command's fields come from: the request, an earlier step's reply, or a function of the user's.

Sources are settled when the definition is built, so that a running saga never finds a field missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, RootModel

from kafka_saga.runtime.errors import DefinitionError


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
        DefinitionError: a field that nothing provides, that two things provide, that does not exist, or that an
            in-doubt step could not fill.

    """
    argument = "action_fields" if " action " in where else "compensation_fields"
    for name in explicit:
        if name not in model.model_fields:
            known = ", ".join(model.model_fields) or "none"
            raise DefinitionError(f"{where}: {argument} names '{name}', but the command has no such field ({known})")
    settled: dict[str, FieldSource] = {}
    for name, field in model.model_fields.items():
        source = explicit.get(name)
        if source is None:
            found = _by_name(where, argument, name, providers)
            if found is None:
                if field.is_required():
                    raise DefinitionError(
                        f"{where}: nothing provides the field '{name}': add it to the request or to an earlier "
                        f"reply, give it a default, or say how in {argument}={{'{name}': ...}}"
                    )
                continue
            source = found
        if isinstance(source, Source):
            _check(where, name, source, model, providers)
        settled[name] = source
    return settled


def check_message(where: str, model: object) -> None:
    """Refuse a model that cannot be a message: its fields, by their names, are the wire's.

    Raises:
        DefinitionError: it is no model, no JSON object, or one of its fields goes by another name.

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


def text(source: FieldSource) -> str:
    """The source as it counts in a definition's hash: a function is known by its name."""
    if isinstance(source, Source):
        return str(source)
    # Objects that can be called, and functools.partial, have no name of their own: their class's must do.
    named = source if hasattr(source, "__qualname__") else type(source)
    return f"function {named.__module__}.{named.__qualname__}"


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


def _check(where: str, name: str, source: Source, model: type[BaseModel], providers: list[Provider]) -> None:
    provider = next((item for item in providers if item.step == source.step), None)
    if provider is None:
        raise DefinitionError(
            f"{where}: the field '{name}' is taken from step '{source.step}', which does not come before it"
        )
    if source.field not in provider.model.model_fields:
        raise DefinitionError(f"{where}: the field '{name}' is taken from '{source}', but {provider} has no such field")
    if provider.own and not _accepts_none(model, name):
        raise DefinitionError(
            f"{where}: the field '{name}' comes from the reply of its own action, which an in-doubt step does not "
            f"have: make it optional (`{name}: ... | None = None`) and find what to undo by the saga id (R15)"
        )


def _accepts_none(model: type[BaseModel], name: str) -> bool:
    annotation = model.model_fields[name].annotation
    return annotation is Any or type(None) in getattr(annotation, "__args__", ())
