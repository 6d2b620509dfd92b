"""Whether a function can be a handler: every mistake is found when its module is imported, and told with its remedy."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import UnionType
from typing import Any, NamedTuple, TypeGuard

from pydantic import BaseModel, RootModel

from kafka_saga.participants.kinds import Kind, kind_of, likely_kind
from kafka_saga.participants.transaction import CommandContext
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.wording import with_article
from kafka_saga.schemas.faithful import complaint


class Signature(NamedTuple):
    """What a function's parameters and annotations say of it.

    Attributes:
        kind: what it is given to write with; None where it does not say.
        takes_context: it has one parameter more, for the `CommandContext`.
        reply_model: what it returns; None for nothing.

    """

    kind: Kind | None
    takes_context: bool
    reply_model: type[BaseModel] | None = None


def check_handler(
    function: Callable[..., Any], model: type[BaseModel], *, is_external: bool = False, kind: Kind | None = None
) -> Signature:
    """What `function` says of itself as a handler of the command `model`.

    Args:
        function: what was decorated.
        model: the command.
        is_external: it makes a call, outside of any transaction.
        kind: what the other handlers are given.

    Raises:
        DefinitionError: it cannot be a handler.

    """
    name = _name(function)
    if is_external:
        example = f"async def {_short(name)}(command: {model.__name__}, idempotency_key: str) -> …"
        parameters, takes_context = ("command", "idempotency_key"), False
        check_function(function, parameters, example=example)
    else:
        example = _example(name, f"command: {model.__name__}", kind or Kind.TRANSACTION)
        parameters = ("command", (kind or Kind.TRANSACTION).parameter)
        takes_context = _has_one_more(function, parameters)
        check_function(function, (*parameters, "context") if takes_context else parameters, example=example)
    hints = _hints(function)
    takes, gets, *_ = [hints.get(parameter) for parameter in inspect.signature(function).parameters] + [None, None]
    if not _accepts(takes, model):
        raise DefinitionError(f"{name} is registered for {model.__name__}, but takes {_a_type(takes)}: use one of them")
    if not is_external:
        found = _kind(name, gets, f"command: {model.__name__}", kind)
        return Signature(found, takes_context, _reply_model(name, hints))
    if not _accepts(gets, str):
        why = "it runs outside of any transaction (write in `store=`), and gets a str"
        raise DefinitionError(f"{name} takes {_a_type(gets)}, but {why}: write `{example}`")
    return Signature(None, False, _reply_model(name, hints))


def check_store(function: Callable[..., Any], kind: Kind | None) -> Signature:
    """What the `store=` function of an external handler says of itself.

    Raises:
        DefinitionError: it cannot be one.

    """
    parameters = ("command", "reply", (kind or Kind.TRANSACTION).parameter)
    takes_context = _has_one_more(function, parameters)
    example = _example("store", "command, reply", kind or Kind.TRANSACTION).replace("…", "None")
    check_function(function, (*parameters, "context") if takes_context else parameters, example=example)
    hints = _hints(function)
    gets = [hints.get(parameter) for parameter in inspect.signature(function).parameters][2]
    return Signature(_kind(_name(function), gets, "command, reply", kind), takes_context)


def _kind(name: str, hint: Any, before: str, others: Kind | None) -> Kind | None:
    """What a parameter annotated with `hint` is given; None where it does not say, and takes what the others take."""
    found = kind_of(hint)
    if found is None and not (_accepts(hint, object) or hint is None):
        likely = others or likely_kind(hint)
        given = "a Transaction, an asyncpg.Connection or an AsyncSession"
        raise DefinitionError(
            f"{name} takes {_a_type(hint)}, but it runs in a transaction, and gets {given}: "
            f"write `{_example(name, before, likely)}`"
        )
    if found is not None and others is not None and found is not others:
        raise DefinitionError(
            f"{name} takes {with_article(found.value)}, and the other handlers take {with_article(others.value)}; "
            f"they share a transaction, so all take the same: write `{_example(name, before, others)}`"
        )
    return found


def _example(name: str, before: str, kind: Kind) -> str:
    return f"async def {_short(name)}({before}, {kind.parameter}: {kind.value}) -> …"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _has_one_more(function: Callable[..., Any], parameters: tuple[str, ...]) -> bool:
    """Whether it has one parameter more than these, annotated with `CommandContext`."""
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        return False
    names = list(inspect.signature(function).parameters)
    return len(names) > len(parameters) and _hints(function).get(names[len(parameters)]) is CommandContext


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


def _a_type(hint: Any) -> str:
    return with_article(_type_name(hint))


def _name(function: object) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
