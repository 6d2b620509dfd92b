"""Running one handler: in a savepoint of its own, within its time, and whatever it does becomes a reply (R57)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from pydantic import BaseModel

from kafka_saga.participants.calls import make_call
from kafka_saga.participants.command import Command
from kafka_saga.participants.eager import OwnCancels, go_on
from kafka_saga.participants.faults import FaultInjector
from kafka_saga.participants.handlers import Handler
from kafka_saga.participants.outcomes import EMPTY_BODY, Rejected, Reply, describe_error, failed, try_again, why
from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.participants.undone import TransactionEscapedError, TransactionLostError
from kafka_saga.runtime.errors import BrokenStoreError, ContractError, StoreUnavailableError, UsageError
from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.runtime.stacks import LoggedStacks, trace_of
from kafka_saga.runtime.telemetry import log
from kafka_saga.runtime.wording import with_article
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.faithful import ChangedError
from kafka_saga.schemas.reading import told_by_handler

_log = log("guard")

Work = Callable[[Any, Any], Coroutine[Any, Any, BaseModel | None]]
"""What runs in the transaction: a handler, or the business part of a call that was made."""


class Runner:
    """Runs handlers. One per database."""

    def __init__(self, store: ParticipantStore, *, faults: FaultInjector, handler_timeout_ms: int) -> None:
        """Nothing runs before `run`.

        Args:
            store: whose transaction handlers write in.
            faults: what goes wrong on purpose.
            handler_timeout_ms: how long a handler may take that says nothing else.

        """
        self._workplace = store.workplace()
        self._faults = faults
        self._handler_timeout_ms = handler_timeout_ms
        self._logged_stacks = LoggedStacks()

    async def run(self, command: Command, handler: Handler, work: Work, subject: Any, now_ms: int) -> Reply:
        """The reply of what `work(subject, given)` returns or raises; what it wrote stays only for a success.

        Raises:
            TransactionLostError: its SQL ended the transaction, or had the database roll it back.
            UndoneError: the whole batch must be done again, for another reason.
            TransactionEscapedError: it committed what was not its own.

        """
        workplace, limit_ms = self._workplace, self._limit_ms(handler)
        given = await workplace.enter(command.head, now_ms, limit_ms)
        try:
            reply = await self._outlived(command, handler, limit_ms, work, subject, given)
        except BaseException:
            workplace.shut()
            raise
        try:
            refused = await workplace.leave(given, keep=reply.outcome is Outcome.SUCCESS)
        except (TransactionLostError, TransactionEscapedError) as error:
            said = f" ({reply.error})" if reply.error else ""
            raise type(error)(_named(str(error), handler).replace("{said}", said)) from error.__cause__
        return reply if refused is None else self.technical(command, _named(refused, handler), None)

    def technical(self, command: Command, text: str, error: BaseException | None) -> Reply:
        """The `retry` for `error`, which is logged with the stack of whoever raised it."""
        head = command.head
        stack: dict[str, Any] = {}
        trace = None if error is None else _from_the_handler(trace_of(error))
        if error is not None and trace is not None:
            told = self._logged_stacks.attempt(
                head.command_id, head.attempt, BaseException.with_traceback(error, trace)
            )
            stack = {"exc_info": error} if told is None else {"traceback": f"logged at attempt {told}"}
        _log.warning("command.retry", error=text, **stack)
        return try_again(text)

    async def _outlived(  # noqa: PLR0917 -- all that a handler runs with
        self, command: Command, handler: Handler, limit_ms: int, work: Work, subject: Any, given: Any
    ) -> Reply:
        """As `_limited`; a handler that cancels the task it runs in, which is ours, does not end it."""
        cancels = OwnCancels()
        try:
            reply = await self._limited(command, handler, limit_ms, work, subject, given, cancels)
        except asyncio.CancelledError as error:
            if not await cancels.take_back() and cancels.from_outside:
                raise
            return self._interrupted(command, _CANCELLED, error)
        if cancels.count and await cancels.take_back():
            return self._interrupted(command, _CANCELLED, asyncio.CancelledError())
        return reply

    def _interrupted(self, command: Command, text: str, error: BaseException) -> Reply:
        """It was cancelled while it waited, maybe for the database: what that has done by now is not known."""
        undone = self._workplace.interrupted(text)
        if undone is not None:
            raise undone from error
        return self.technical(command, text, error)

    async def _limited(  # noqa: PLR0917 -- all that a handler runs with
        self,
        command: Command,
        handler: Handler,
        limit_ms: int,
        work: Work,
        subject: Any,
        given: Any,
        cancels: OwnCancels,
    ) -> Reply:
        limit: asyncio.Timeout | None = None
        began_s = asyncio.get_running_loop().time()
        try:
            if not handler.is_external:
                self._faults.before_handler(command.head)
            running = work(subject, given)
            try:
                waits_for = cancels.send(running, None)
            except StopIteration as returned:  # most handlers never wait: their statements run inline
                model = returned.value
            else:
                limit = asyncio.timeout_at(began_s + (limit_ms + self._workplace.grace_ms) / 1000)
                async with limit:
                    model = await go_on(running, waits_for, cancels)
            unfinished = self._workplace.finish(given)
            return _success(handler, model, unfinished if isinstance(unfinished, int) else await unfinished)
        except Rejected as rejected:
            return self._refused(command, handler, rejected)
        except (BrokenStoreError, StoreUnavailableError, asyncio.CancelledError, GeneratorExit):
            raise  # no handler's fault, as a rule: the batch cannot be kept
        except TimeoutError as error:
            if limit is not None and limit.expired():
                return self._interrupted(command, _too_slow(limit_ms), error)
            return self.technical(command, describe_error(error), error)
        except BaseException as error:  # whatever it raises, `sys.exit()` too, means "try again" (R57)
            if is_pressed(error):
                raise
            return self._failed(command, error, limit_ms)

    def _failed(self, command: Command, error: BaseException, limit_ms: int) -> Reply:
        undone = self._workplace.undone_by(error)
        if undone is not None:
            raise undone from error
        text = _too_slow(limit_ms) if self._workplace.is_too_slow(error) else describe_error(error)
        return self.technical(command, text, error)

    def _limit_ms(self, handler: Handler) -> int:
        """Of what runs inside the transaction; of an external handler that is its `store=`."""
        return self._handler_timeout_ms if handler.is_external else handler.timeout_ms or self._handler_timeout_ms

    def _refused(self, command: Command, handler: Handler, rejected: Rejected) -> Reply:
        if not handler.is_external:
            return failed(Reason.REJECTED, why(rejected))
        # The outside did it: `failure` would say that nothing happened.
        return self.technical(command, f"the call was made, then refused here: {why(rejected)}", rejected)


def _success(handler: Handler, model: BaseModel | None, unfinished: int) -> Reply:
    if unfinished:
        raise UsageError(f"{handler.name} did not await {unfinished} of its statements: write `await` before each")
    promised = handler.reply_model
    if promised is None:
        if model is not None:
            raise _wrong_reply(handler, model)
        return Reply(Outcome.SUCCESS, Effect.DONE, None, EMPTY_BODY)
    if not isinstance(model, promised):
        raise _wrong_reply(handler, model)
    try:
        body = told_by_handler(model)
    except (ContractError, ChangedError) as error:
        raise UsageError(f"the reply of {handler.name}: {error}") from None
    return Reply(Outcome.SUCCESS, Effect.DONE, None, body)


def _wrong_reply(handler: Handler, returned: object) -> UsageError:
    promised = "None" if handler.reply_model is None else handler.reply_model.__name__
    if isinstance(returned, Coroutine):
        returned.close()
        return UsageError(f"{handler.name} returned something that it did not await: write `return await …`")
    return UsageError(
        f"{handler.name} returned {'nothing' if returned is None else with_article(type(returned).__name__)}; "
        f"its annotation says {promised}"
    )


def _named(text: str, handler: Handler) -> str:
    return text.replace("{handler}", handler.name)


def _too_slow(limit_ms: int) -> str:
    return f"the handler took longer than {limit_ms} ms"


_CANCELLED = "the handler was cancelled by its own work"

_OWN_FILES = frozenset(function.__code__.co_filename for function in (_success, go_on, make_call))


def _from_the_handler(trace: TracebackType | None) -> TracebackType | None:
    """The part of a stack that is the user's; None where we raised it ourselves, about what the handler returned."""
    while trace is not None and trace.tb_frame.f_code.co_filename in _OWN_FILES:
        trace = trace.tb_next
    return trace
