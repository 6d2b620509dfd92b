"""Whether a function can be a handler: every mistake is found when its module is imported, and told with its remedy."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import UnionType
from typing import Any, TypeGuard

from pydantic import BaseModel, RootModel

from kafka_saga.participants.transaction import Transaction
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.faithful import complaint


def check_handler(
    function: Callable[..., Any], model: type[BaseModel], *, is_external: bool = False
) -> type[BaseModel] | None:
    """The model that `function`, a handler of the command `model`, says it returns; None where it returns nothing.

    Raises:
        DefinitionError: it cannot be a handler.

    """
    second, kind = ("idempotency_key", str) if is_external else ("tx", Transaction)
    name = _name(function)
    example = f"async def {name.rpartition('.')[2]}(command: {model.__name__}, {second}: {kind.__name__}) -> …"
    check_function(function, ("command", second), example=example)
    hints = _hints(function)
    takes, gets, *_ = [hints.get(parameter) for parameter in inspect.signature(function).parameters] + [None, None]
    if not _accepts(takes, model):
        raise DefinitionError(
            f"{name} is registered for {model.__name__}, but takes a {_type_name(takes)}: use one of them"
        )
    if not _accepts(gets, kind):
        why = (
            "it runs outside of any transaction (write in `store=`), and gets"
            if is_external
            else "it runs in a transaction, and gets"
        )
        raise DefinitionError(f"{name} takes a {_type_name(gets)}, but {why} a {kind.__name__}: write `{example}`")
    return _reply_model(name, hints)


def check_function(function: Callable[..., Any], parameters: tuple[str, ...], *, example: str) -> None:
    """Refuse what is no coroutine function of `parameters`.

    Raises:
        DefinitionError: it is not; the message shows `example`.

    """
    name = _name(function)
    if inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{name} must not `yield`: it returns its reply, once")
    if not (inspect.isfunction(function) or inspect.ismethod(function)) or not inspect.iscoroutinefunction(function):
        raise DefinitionError(f"{name} must be an `async def` function: write `{example}`")
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError:
        raise DefinitionError(f"{name} must take ({', '.join(parameters)}): write `{example}`") from None


def is_model(candidate: object) -> TypeGuard[type[BaseModel]]:
    """Whether it is a model of JSON objects; a `RootModel` may be anything."""
    return isinstance(candidate, type) and issubclass(candidate, BaseModel) and not issubclass(candidate, RootModel)


def where(function: Callable[..., Any]) -> str:
    """A function's name, and where it stands."""
    code = inspect.unwrap(function).__code__
    return f"{_name(function)} ({code.co_filename}:{code.co_firstlineno})"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception as error:  # annotations are users' code: they may raise anything
        remedy = "import it at run time, not under TYPE_CHECKING" if isinstance(error, NameError) else "correct it"
        raise DefinitionError(f"an annotation of {_name(function)} cannot be read ({error}): {remedy}") from error


def _accepts(hint: Any, given: type) -> bool:
    """Whether a parameter so annotated takes a `given`; what is neither a class nor a union of some is believed."""
    if typing.get_origin(hint) in {typing.Union, UnionType}:
        return any(_accepts(one, given) for one in typing.get_args(hint))
    return hint is Any or not isinstance(hint, type) or getattr(hint, "_is_protocol", False) or issubclass(given, hint)


def _reply_model(name: str, hints: dict[str, Any]) -> type[BaseModel] | None:
    if "return" not in hints:
        raise DefinitionError(f"{name} needs a return annotation: `-> ItsReplyModel`, or `-> None`")
    returned = hints["return"]
    if returned is type(None):
        return None
    if is_model(returned):
        unfaithful = complaint(returned)
        if unfaithful is not None:
            raise DefinitionError(f"{name} returns {returned.__name__}: {unfaithful}")
        return returned
    raise DefinitionError(
        f"{name} must return one pydantic model (a JSON object), or None; it says {_type_name(returned)}"
    )


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _name(function: object) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
