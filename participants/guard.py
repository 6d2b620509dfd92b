"""The guard: carries out what `fence` decides, in the transaction in which the handlers write (R14).

The rows of a whole batch are read with one query and written with one statement; in between they are values in a
dict, so that two commands for one row see each other's effect, and a handler that fails has nothing to restore but
its own savepoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from kafka_saga.participants.calls import Call, Settled, call_from_json, call_to_json
from kafka_saga.participants.command import Command, FenceKey
from kafka_saga.participants.faults import FaultInjector
from kafka_saga.participants.fence import OPEN_CALL, Decision, FenceRow, Status, decide
from kafka_saga.participants.handlers import Handler, Participant
from kafka_saga.participants.outcomes import (
    NOTHING_TO_UNDO,
    Rejected,
    Reply,
    describe_error,
    failed,
    reply_from_json,
    try_again,
    why,
)
from kafka_saga.participants.running import Runner
from kafka_saga.participants.store.port import ParticipantStore
from kafka_saga.participants.transaction import CommandContext
from kafka_saga.participants.undone import TransactionLostError, UndoneError
from kafka_saga.participants.witness import Nobody, Witness
from kafka_saga.runtime.errors import BrokenStoreError, ContractError, StoreUnavailableError
from kafka_saga.runtime.limits import FENCE_RETENTION_MS, HANDLER_TIMEOUT_MS, PORTION_MS_MAX
from kafka_saga.runtime.telemetry import log, log_subject
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import decode_model
from kafka_saga.schemas.envelope import CommandHead, Outcome, Reason
from kafka_saga.schemas.ids import Phase

if TYPE_CHECKING:
    from kafka_saga.participants.spans import WorkerSpans

_log = log("guard")

Work = Command | Settled
"""What is done in a batch: a command that came, or a call that ended."""


_PORTION_S_MAX = PORTION_MS_MAX / 1000


class Handled(NamedTuple):
    """What became of one command.

    Attributes:
        command: the command.
        reply: its answer; None while it waits for a call to the outside.
        is_fresh: it was answered for the first time; otherwise the reply was stored, or nothing was done.
        call: a call to make once the transaction is committed.
        contract_error: its body could not be read (R12).

    """

    command: Command
    reply: Reply | None
    is_fresh: bool = False
    call: Call | None = None
    contract_error: ContractError | None = None


class Guard:
    """Answers commands at most once. One per database; `handle` is called inside a write transaction."""

    def __init__(
        self,
        participant: Participant,
        store: ParticipantStore,
        *,
        faults: FaultInjector,
        handler_timeout_ms: int = HANDLER_TIMEOUT_MS,
        fence_retention_ms: int = FENCE_RETENTION_MS,
        witness: Witness | None = None,
        on_handled: Callable[[Command, float], None] | None = None,
    ) -> None:
        """Nothing is read before `handle`.

        Args:
            participant: whose handlers run.
            store: where the fence is.
            faults: what goes wrong on purpose.
            handler_timeout_ms: how long a handler may take inside the transaction.
            fence_retention_ms: for how long a missing row proves that nothing was done (R16).
            witness: remembers what the process dies of; without it nobody does.
            on_handled: told of each command how many seconds it took.

        """
        self._on_handled = on_handled
        self.spans: WorkerSpans | None = None
        """Makes traces, where somebody collects them."""
        self._participant = participant
        self._store = store
        self.faults = faults
        self._runner = Runner(store, faults=faults, handler_timeout_ms=handler_timeout_ms)
        self._fence_retention_ms = fence_retention_ms
        self._witness = witness or Nobody()
        self._rows: dict[FenceKey, FenceRow] = {}
        self._changed: dict[FenceKey, FenceRow] = {}
        self._slow: set[str] = set()
        """Types of commands that took long when they last ran."""

    async def handle(self, batch: Sequence[Work], now_ms: int) -> list[Handled]:
        """Answer what is in `batch`, in order; where that takes long, only its first part, so that it is kept and told.

        The fence rows are written, not committed. When it raises, the transaction must be rolled back.

        Raises:
            UndoneError: nothing of it can be kept; a handler's SQL ended the transaction, or others are in the way.

        """
        batch = batch[: self._store.commands_max]
        self._rows = await self._store.load({command_of_work(work).key for work in batch})
        self._changed = {}
        handled: list[Handled] = []
        witness = self._witness
        time_s = asyncio.get_running_loop().time
        began_s = time_s()
        until_s = began_s + _PORTION_S_MAX
        try:
            for work in batch:
                if self._slow and handled and self._is_slow(work):
                    break
                witness.begins(command_of_work(work).head.command_id)
                answer = self._settle if type(work) is Settled else self._answer
                if self.spans is None:
                    handled.append(await answer(work, now_ms))  # type: ignore[arg-type] # one of the two
                else:
                    handled.append(await self.spans.around(work, partial(answer, work, now_ms)))  # type: ignore[arg-type]
                ended_s = time_s()
                if self._on_handled is not None:
                    self._on_handled(command_of_work(work), ended_s - began_s)
                if self._slow or ended_s >= until_s:
                    self._learn(work, ended_s - began_s)
                    if ended_s >= until_s:
                        break
                began_s = ended_s
        except (UndoneError, BrokenStoreError, StoreUnavailableError) as error:
            if isinstance(error, TransactionLostError):
                error.position = len(handled)
            witness.ended()  # whatever ends the process now, it is not the command
            raise
        finally:
            log_subject.set(None)
        witness.ended()
        if self._changed:
            await self._store.save(self._changed.values())
        return handled

    def slow_last(self, batch: list[Work]) -> list[Work]:
        """`batch` with what takes long behind the rest: the fence allows any order, and nobody waits for it in vain."""
        return sorted(batch, key=self._is_slow) if self._slow else batch

    def _is_slow(self, work: Work) -> bool:
        return command_of_work(work).head.command_type in self._slow

    def _learn(self, work: Work, took_s: float) -> None:
        """What took long once is expected to again, until it does not: a first call may have loaded a library."""
        note = self._slow.add if took_s >= _PORTION_S_MAX else self._slow.discard
        note(command_of_work(work).head.command_type)

    async def _answer(self, command: Command, now_ms: int) -> Handled:
        head, row = command.head, self._rows.get(command.key)
        log_subject.set(head)
        if command.handler is None:
            return Handled(command, self._unknown_type(head))
        age_ms = now_ms - head.started_at_ms if head.started_at_ms else 0
        decision = decide(row, head.parsed_id, is_expired=age_ms > self._fence_retention_ms)
        match decision:
            case Decision.RUN:
                return await self._run(command, command.handler, row, now_ms)
            case Decision.SEND_STORED:
                assert row is not None
                return _send_stored(command, command.handler, row)
            case Decision.CANCEL:
                return self._cancel(command, row, now_ms)
            case Decision.WAIT:
                assert row is not None
                return self._wait(command, row)
            case _:
                return Handled(command, _refusal(decision, row, self._fence_retention_ms))

    def _cancel(self, command: Command, row: FenceRow | None, now_ms: int) -> Handled:
        if row is not None and row.status is Status.CANCELLED:
            return Handled(command, NOTHING_TO_UNDO)
        row = row or _new_row(command, now_ms)
        epoch = command.head.parsed_id.epoch
        self._put(row._replace(status=Status.CANCELLED, compensation_epoch=epoch, updated_at=now_ms))
        return Handled(command, NOTHING_TO_UNDO, is_fresh=True)

    async def _run(self, command: Command, handler: Handler, row: FenceRow | None, now_ms: int) -> Handled:
        if row is not None and row.call is not None:
            return self._call_again(command, row)
        if self._witness.refuses(command.head.command_id):
            return Handled(command, _killed(command))
        row = row or _new_row(command, now_ms)
        try:
            body = decode_model(handler.model, command.value)
        except ContractError as error:
            reply = failed(Reason.UNREADABLE, str(error))
            # Stored like any failure: it says that nothing happened, so nothing may happen after the next deploy.
            self._store_reply(command, row, reply, now_ms)
            return Handled(command, reply, is_fresh=True, contract_error=error)
        if handler.is_external:
            return self._begin_call(command, handler, body, row, now_ms)
        function = handler.function if not handler.takes_context else _in_context(handler.function, command, now_ms)
        reply = await self._runner.run(command, handler, function, body, now_ms)
        self._store_reply(command, row, reply, now_ms)
        return Handled(command, reply, is_fresh=True)

    def _store_reply(self, command: Command, row: FenceRow, reply: Reply, now_ms: int) -> None:
        if reply.outcome is Outcome.RETRY:
            return
        epoch, text, is_success = command.head.parsed_id.epoch, reply.to_json(), reply.outcome is Outcome.SUCCESS
        if command.head.parsed_id.phase is Phase.FORWARD:
            status = Status.DONE if is_success else Status.FAILED
            key, _, known, undone, _, undo_reply, _, started_at, _ = row  # not `_replace`: it costs half a statement
            row = FenceRow(key, status, max(epoch, known), undone, text, undo_reply, None, started_at, now_ms)
        else:
            status = Status.COMPENSATED if is_success else Status.DONE
            row = row._replace(
                status=status, compensation_epoch=epoch, compensation_reply=text, call=None, updated_at=now_ms
            )
        self._put(row)

    def _begin_call(self, command: Command, handler: Handler, body: BaseModel, row: FenceRow, now_ms: int) -> Handled:
        epoch = command.head.parsed_id.epoch
        row = row._replace(call=call_to_json(command), updated_at=now_ms)
        if handler.phase is Phase.FORWARD:
            self._put(row._replace(status=Status.STARTED, action_epoch=epoch, action_reply=None))
        else:
            self._put(row._replace(status=Status.UNDOING, compensation_epoch=epoch, compensation_reply=None))
        return Handled(command, None, call=Call(command, handler, body, command.head.command_id))

    def _call_again(self, command: Command, row: FenceRow) -> Handled:
        """The same call, with the key and the body of the first time: the other side may have taken it."""
        first = self._started_command(row)
        call = self._call_of(first)
        if call is None:
            return Handled(command, try_again(f"{first.head.command_type} was begun here and cannot be continued"))
        return Handled(command, None, call=call._replace(command=command))

    def _wait(self, command: Command, row: FenceRow) -> Handled:
        """What comes while a call of the other phase is in doubt. It is made again to settle it: nobody else would."""
        first = self._started_command(row)
        error = f"{first.head.command_id} is in doubt: its call to the outside must be settled first"
        return Handled(command, try_again(error), call=self._call_of(first))

    def _started_command(self, row: FenceRow) -> Command:
        assert row.call is not None, f"{row.key} is {row.status} and has no call"
        return call_from_json(row.call, self._participant.handlers)

    def _call_of(self, command: Command) -> Call | None:
        handler = command.handler
        if handler is None or not handler.is_external:
            _log.error("call.no_handler", command_id=command.head.command_id, command_type=command.head.command_type)
            return None
        try:
            body = decode_model(handler.model, command.value)
        except ContractError as error:
            _log.error("call.unreadable", command_id=command.head.command_id, error=str(error))
            return None
        return Call(command, handler, body, command.head.command_id)

    async def _settle(self, ended: Settled, now_ms: int) -> Handled:
        call, command = ended.call, ended.call.command
        row = self._rows.get(command.key)
        if row is None or row.status is not OPEN_CALL[command.head.parsed_id.phase]:
            return await self._answer(command, now_ms)  # settled already, by a call for another copy
        log_subject.set(command.head)
        if ended.error is None:
            reply = await self._runner.run(command, call.handler, partial(_keep, now_ms), ended, now_ms)
        elif isinstance(ended.error, Rejected):
            reply = failed(Reason.REJECTED, why(ended.error))
        else:
            reply = self._runner.technical(command, describe_error(ended.error), ended.error)
        self._store_reply(command, row, reply, now_ms)
        return Handled(command, reply, is_fresh=True)

    def _unknown_type(self, head: CommandHead) -> Reply:
        known = ", ".join(sorted(self._participant.handlers)) or "none"
        _log.warning("command.unknown_type", command_type=head.command_type)
        return try_again(f"{self._participant.name} does not know the command {head.command_type}; it knows {known}")

    def _put(self, row: FenceRow) -> None:
        self._rows[row.key] = self._changed[row.key] = row


def command_of_work(work: Work) -> Command:
    """The command that it is about."""
    return work.call.command if type(work) is Settled else work  # type: ignore[return-value] # one of the two


async def _keep(now_ms: int, ended: Settled, given: Any) -> BaseModel | None:
    """Run the business part of a settled call."""
    handler = ended.call.handler
    if handler.store is not None:
        context = (CommandContext(ended.call.command.head, now_ms),) if handler.takes_context else ()
        await handler.store(ended.call.body, ended.reply, given, *context)
    return ended.reply


def _in_context(function: Callable[..., Any], command: Command, now_ms: int) -> Callable[[Any, Any], Any]:
    context = CommandContext(command.head, now_ms)
    return lambda body, given: function(body, given, context)


def _send_stored(command: Command, handler: Handler, row: FenceRow) -> Handled:
    stored = row.stored(command.head.parsed_id.phase)
    assert stored is not None, f"{command.key} is {row.status} and has no reply to send"
    reply = reply_from_json(stored)
    if reply.reason is Reason.UNREADABLE:
        try:
            decode_model(handler.model, command.value)
        except ContractError as error:
            # Its dead letter may have been lost with the first reply; a second one is a duplicate, none is a loss.
            return Handled(command, reply, contract_error=error)
    return Handled(command, reply)


def _refusal(decision: Decision, row: FenceRow | None, retention_ms: int) -> Reply:
    if decision is Decision.EXPIRED:
        days = retention_ms // 86_400_000
        text = f"this service remembers sagas for {counted(days, 'day')}, and this one is older"
        return failed(Reason.FENCE_EXPIRED, text)
    assert row is not None
    if decision is Decision.FENCED:
        return failed(Reason.FENCED, f"the step was {row.status.value} before this command came")
    assert decision is Decision.STALE
    return failed(Reason.STALE, "a command with a higher epoch was handled before this one")


def _killed(command: Command) -> Reply:
    """It is not run: the next start would find it again, and so would all who wait behind it."""
    text = f"this service has died while it handled {command.head.command_type}, and again: it is not run any more"
    _log.error("command.kills", error=text)
    return try_again(text)


def _new_row(command: Command, now_ms: int) -> FenceRow:
    return FenceRow(command.key, Status.CANCELLED, 0, 0, None, None, None, now_ms, now_ms)
