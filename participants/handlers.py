"""What a service developer writes: a participant, and one function for each command it knows.

On the wire a command's type is its model's name with a small first letter: `ReserveItems` is `reserveItems`.
Mistakes are found when the module is imported, as `DefinitionError`s that say what to write instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.signatures import Signature, check_handler, check_store, is_model, where
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.limits import EXTERNAL_TIMEOUT_MS, HANDLER_TIMEOUT_MS_MAX
from kafka_saga.schemas.ids import NAME_PATTERN, Phase, is_name
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import async_sessionmaker

HandlerFunction = TypeVar("HandlerFunction", bound=Callable[..., Coroutine[Any, Any, Any]])
StoreFunction = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Handler:
    """A registered function and what it is for."""

    command_type: str
    """The `ce_type` it answers to."""
    phase: Phase
    model: type[BaseModel]
    reply_model: type[BaseModel] | None
    function: Callable[..., Coroutine[Any, Any, Any]]
    is_external: bool = False
    store: StoreFunction | None = None
    takes_context: bool = False
    """Whether `function`, or `store`, has one parameter more, for the `CommandContext`."""
    timeout_ms: int | None = None
    """How long it may take; None: as long as the process's settings say. An external call always has its own."""

    @property
    def name(self) -> str:
        """How its function is called, for people."""
        return self.function.__qualname__

    @cached_property
    def reply_type(self) -> str:
        """The `ce_type` of its success."""
        return wire_type(self.reply_model) if self.reply_model else f"{self.command_type}.success"


class Participant:
    """A service's command handlers. `name` is the service's in the saga's definition and in the topics' names."""

    def __init__(
        self,
        name: str,
        *,
        handler_timeout_ms: int | None = None,
        sessions: async_sessionmaker[Any] | None = None,
    ) -> None:
        """A participant that handles nothing yet.

        Args:
            name: the service's.
            handler_timeout_ms: how long a handler inside the transaction may take that says nothing else; where this
                is not given either, the setting of that name holds (two seconds).
            sessions: how the `AsyncSession`s are made that handlers take (their class, `expire_on_commit`, …); the
                engine that it may name is not used.

        Raises:
            DefinitionError: the name cannot be a service's, or the time is out of bounds.

        """
        if not isinstance(name, str) or not is_name(name):  # type: ignore[redundant-expr] # who does not use mypy
            raise DefinitionError(f"a service's name matches {NAME_PATTERN}; {name!r} does not")
        if f"{name}." == DEAD_LETTER_PREFIX:
            raise DefinitionError(f"'{name}' begins the topics of dead letters: choose another name for the service")
        self.name = name
        self.handler_timeout_ms = _checked(handler_timeout_ms)
        self.sessions = sessions
        self.handlers: dict[str, Handler] = {}
        self.kind: Kind | None = None
        """What the handlers are given to write with; None while none of them says."""

    def __repr__(self) -> str:
        return f"Participant({self.name!r}, handles {', '.join(sorted(self.handlers)) or 'nothing yet'})"

    def action(
        self, model: type[BaseModel], *, handler_timeout_ms: int | None = None
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        """Register `async def handler(command: Model, tx: Transaction) -> ReplyModel` (or None) for an action.

        It runs inside the database transaction that also remembers that it ran. Raise `Rejected` to refuse.

        Args:
            model: the command.
            handler_timeout_ms: how long it may take; as the participant says when not given. All others wait for it.

        Raises:
            DefinitionError: the function cannot be used; the message says what to change.

        """
        return self._registering(model, Phase.FORWARD, timeout_ms=self._timeout_of(handler_timeout_ms))

    def compensation(
        self, model: type[BaseModel], *, handler_timeout_ms: int | None = None
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        """Register `async def handler(command: Model, tx: Transaction) -> ReplyModel` (or None) for a compensation.

        It is only called when the action was done and not undone yet. Find what to undo by `tx.saga_id` and
        `tx.step`: ids that the action returned may be missing (R15).

        Args:
            model: the command.
            handler_timeout_ms: how long it may take; as the participant says when not given. All others wait for it.

        Raises:
            DefinitionError: the function cannot be used; the message says what to change.

        """
        return self._registering(model, Phase.COMPENSATE, timeout_ms=self._timeout_of(handler_timeout_ms))

    def external_action(
        self, model: type[BaseModel], *, store: StoreFunction | None = None, timeout_ms: int = EXTERNAL_TIMEOUT_MS
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        """Register `async def handler(command: Model, idempotency_key: str) -> ReplyModel` for an outside call (R17).

        It runs outside of any transaction and may run again with the same key, after a crash or an error: the
        other side must treat the key's second call as the first. `Rejected` says that nothing was done there.

        Args:
            model: the command.
            store: `async def store(command, reply, tx) -> None`, run in the transaction that stores the outcome.
            timeout_ms: how long one call may take.

        Raises:
            DefinitionError: a function cannot be used; the message says what to change.

        """
        return self._external(model, Phase.FORWARD, store, timeout_ms)

    def external_compensation(
        self, model: type[BaseModel], *, store: StoreFunction | None = None, timeout_ms: int = EXTERNAL_TIMEOUT_MS
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        """Register `async def handler(command: Model, idempotency_key: str) -> ReplyModel` (or None) for a refund.

        As `external_action`: that it began is written first, and until its outcome is known it is made again with
        the same key. It is only called when the action was done and not undone yet. `Rejected` says that the outside
        does not undo it: the action stays done, and the saga is parked.

        Args:
            model: the command.
            store: `async def store(command, reply, tx) -> None`, run in the transaction that stores the outcome.
            timeout_ms: how long one call may take.

        Raises:
            DefinitionError: a function cannot be used; the message says what to change.

        """
        return self._external(model, Phase.COMPENSATE, store, timeout_ms)

    def handler_of(self, model: type[BaseModel]) -> Handler:
        """The handler of a command model.

        Raises:
            DefinitionError: none is registered.

        """
        handler = self.handlers.get(wire_type(model))
        if handler is None:
            raise DefinitionError(f"{self.name} has no handler for {model.__name__}: register one with @{self.name}.…")
        return handler

    def _timeout_of(self, handler_timeout_ms: int | None) -> int | None:
        return self.handler_timeout_ms if handler_timeout_ms is None else _checked(handler_timeout_ms)

    def _external(
        self, model: type[BaseModel], phase: Phase, store: StoreFunction | None, timeout_ms: int
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        if type(timeout_ms) is not int or timeout_ms < 1:
            raise DefinitionError(f"timeout_ms is a whole number of milliseconds above 0, not {timeout_ms!r}")
        storing = None if store is None else check_store(store, self.kind)
        return self._registering(model, phase, is_external=True, storing=storing, store=store, timeout_ms=timeout_ms)

    def _registering(
        self,
        model: type[BaseModel],
        phase: Phase,
        *,
        is_external: bool = False,
        storing: Signature | None = None,
        **options: Any,
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        if not is_model(model):
            decorator = "action" if phase is Phase.FORWARD else "compensation"
            raise DefinitionError(_no_command(model, f"@{self.name}.{'external_' if is_external else ''}{decorator}"))

        def register(function: HandlerFunction) -> HandlerFunction:
            handling = check_handler(function, model, is_external=is_external, kind=self.kind)
            writing = storing or handling
            command_type = wire_type(model)
            known = self.handlers.get(command_type)
            if known is not None:
                both = f"{where(known.function)} and {where(function)}"
                raise DefinitionError(f"{self.name} has two handlers for {command_type}: {both}; keep one")
            self.kind = self.kind or writing.kind
            self.handlers[command_type] = Handler(
                command_type,
                phase,
                model,
                handling.reply_model,
                function,
                is_external,
                takes_context=writing.takes_context,
                **options,
            )
            return function

        return register


def wire_type(model: type[BaseModel]) -> str:
    """The `ce_type` of a model: its class's name with a small first letter."""
    name = model.__name__
    return name[:1].lower() + name[1:]


def _checked(handler_timeout_ms: int | None) -> int | None:
    if handler_timeout_ms is None:
        return None
    if type(handler_timeout_ms) is int and 0 < handler_timeout_ms <= HANDLER_TIMEOUT_MS_MAX:
        return handler_timeout_ms
    raise DefinitionError(
        f"handler_timeout_ms is a whole number of milliseconds from 1 to {HANDLER_TIMEOUT_MS_MAX:,}, not "
        f"{handler_timeout_ms!r}: what takes longer is for external_action, which nobody waits for"
    )


def _no_command(given: object, decorator: str) -> str:
    if inspect.isfunction(given):
        return f"write {decorator}(TheCommand) above {given.__qualname__}: its model says which command it is for"
    if isinstance(given, BaseModel):
        return f"{decorator} takes the class {type(given).__name__} itself, not an object of it"
    return f"{decorator} takes a command's model, a class derived from BaseModel; {given!r} is none"
