"""What users get wrong in a definition's arguments, said in their words: never an AttributeError or a TypeError."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.ids import NAME_PATTERN, is_name

Class = TypeVar("Class", bound=type)


def said(cls: Class) -> Class:
    """Let a class say which of its arguments is unknown or missing."""
    build = cls.__init__  # type: ignore[misc]  # its signature is what is asked for
    parameters = list(inspect.signature(build).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    positional = [item.name for item in parameters if item.kind is not item.KEYWORD_ONLY]

    @functools.wraps(build)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        whose = f"{cls.__name__}({args[0]!r})" if args else cls.__name__
        given = positional[: len(args)]
        for name in kwargs:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(names)}"
                raise DefinitionError(f"{whose} has no argument '{name}': {hint}")
            if name in given:
                raise DefinitionError(f"{whose}: '{name}' is given twice")
        if len(args) > len(positional):
            raise DefinitionError(f"{whose}: after {', '.join(positional)} its arguments are named: name=value")
        missing = [name for name in required if name not in {*given, *kwargs}]
        if missing:
            raise DefinitionError(f"{whose} needs {', '.join(f'{name}=…' for name in missing)}")
        build(self, *args, **kwargs)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


def model_name(model: Any) -> str:
    """A model's name, and whatever else somebody gave for one as it is."""
    return str(getattr(model, "__name__", repr(model)))


def check_whole(where: str, name: str, value: object, within: range) -> None:
    """Refuse what is not a whole number of a range; True is none.

    Raises:
        DefinitionError: it is not.

    """
    bounds = f"{within[0]} to {within[-1]}"
    if type(value) is not int:
        unit = " of milliseconds" if "_ms" in name else ""
        raise DefinitionError(f"{where}: {name} is {value!r}; it must be a whole number{unit}, {bounds}")
    if value not in within:
        raise DefinitionError(f"{where}: {name} is {value}; it must be {bounds}")


def check_flag(where: str, name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        DefinitionError: it is not.

    """
    if type(value) is not bool:
        raise DefinitionError(f"{where}: {name} is {value!r}; it must be True or False")


def check_name(where: str, what: str, value: object) -> None:
    """Refuse what cannot stand in topics and ids.

    Raises:
        DefinitionError: it cannot.

    """
    if not isinstance(value, str):
        raise DefinitionError(f"{where}: {what} must be text, not {value!r}: it must match {NAME_PATTERN}")
    if not is_name(value):
        raise DefinitionError(f"{where}: {what} must match {NAME_PATTERN}")


def check_fields(where: str, argument: str, value: object) -> None:
    """Refuse what is no mapping from fields to sources.

    Raises:
        DefinitionError: it is not.

    """
    if not isinstance(value, Mapping):
        raise DefinitionError(
            f"{where}: {argument} is {value!r}; it must be a dict of sources: "
            f"{argument}={{'field': from_request('other_field')}}"
        )
