"""Calls to the outside (R17): what is to be called, what came of it, and the calls that are open.

A call is begun only after its `started` row is committed, and settled in a later transaction. In between it lives
here, in memory: after a crash its command is read again and the call is made again with the same key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from pydantic import BaseModel

from kafka_saga.participants.command import Command, FenceKey, command_of
from kafka_saga.participants.eager import OwnCancels, begun
from kafka_saga.participants.faults import FaultInjector
from kafka_saga.participants.handlers import Handler
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.runtime.limits import EXTERNAL_CALLS_MAX, EXTERNAL_PENDING_MAX, EXTERNAL_TIMEOUT_MS
from kafka_saga.runtime.telemetry import log_subject
from kafka_saga.schemas.codec import decode_object, decode_trusted, encode
from kafka_saga.schemas.envelope import CommandHead
from kafka_saga.schemas.ids import SagaRef, parse_command_id


class Call(NamedTuple):
    """One call to make. The key stays the same however often it is made."""

    command: Command
    handler: Handler
    body: BaseModel
    idempotency_key: str


class Settled(NamedTuple):
    """A call that ended: with a reply, or with an error (`Rejected`: nothing was done there)."""

    call: Call
    reply: BaseModel | None
    error: BaseException | None


Calling = Callable[[Command], AbstractContextManager[None]]
"""What a call is made inside of: its span, where traces are made."""


def _untraced(_command: Command) -> AbstractContextManager[None]:
    return nullcontext()


async def make_call(call: Call, faults: FaultInjector, calling: Calling = _untraced) -> Settled:
    """Make `call` once, within its time; never raises but when it is cancelled."""
    limit_ms = call.handler.timeout_ms or EXTERNAL_TIMEOUT_MS
    limit = asyncio.timeout(limit_ms / 1000)
    about = log_subject.set(call.command.head)
    cancels = OwnCancels()
    try:
        async with limit:
            faults.before_handler(call.command.head)
            with calling(call.command):
                running = call.handler.function(call.body, call.idempotency_key)
                reply = await begun(running, cancels)
        if cancels.count:
            await cancels.take_back()
        return Settled(call, reply, None)
    except TimeoutError as error:
        if not limit.expired():
            return Settled(call, None, error)
        return Settled(call, None, TimeoutError(f"no answer from outside within {limit_ms} ms"))
    except asyncio.CancelledError:
        if not await cancels.take_back() and cancels.from_outside:
            raise
        return Settled(call, None, RuntimeError("the call was cancelled by its own handler"))
    except GeneratorExit:
        raise
    except BaseException as error:  # whatever it is becomes a reply, and the guard logs it (R57)
        if is_pressed(error):
            raise
        return Settled(call, None, error)
    finally:
        log_subject.reset(about)


class ExternalCalls:
    """The open calls: at most `calls_max` at once, one per saga, each saga's in the order they came."""

    def __init__(self, faults: FaultInjector, *, calls_max: int = EXTERNAL_CALLS_MAX) -> None:
        self.changed = asyncio.Event()
        """Set when a call ended; `take` clears it."""
        self.calling: Calling = _untraced
        self._faults = faults
        self._slots = asyncio.Semaphore(calls_max)
        self._open: dict[SagaRef, asyncio.Task[None]] = {}
        self._waiting: dict[SagaRef, deque[Command]] = {}
        self._settled: list[Settled] = []
        self._waiting_count = 0

    @property
    def pending(self) -> int:
        """Commands whose call is queued, open, or ended but not taken."""
        return len(self._open) + self._waiting_count

    @property
    def is_full(self) -> bool:
        """Whether no more commands should be read."""
        return self.pending >= EXTERNAL_PENDING_MAX

    def submit(self, call: Call) -> None:
        """Make `call`, after the saga's earlier ones; if it must wait, its command comes back from `take`."""
        saga = call.command.head.parsed_id.ref
        if saga in self._open:
            self._waiting.setdefault(saga, deque()).append(call.command)
            self._waiting_count += 1
        else:
            self._open[saga] = asyncio.create_task(self._run(call), name=f"call {call.idempotency_key}")

    def is_open(self, key: FenceKey) -> bool:
        """Whether a call of this saga is open, or ended but not taken."""
        return SagaRef(key.saga_type, key.saga_id) in self._open

    def take(self) -> tuple[list[Settled], list[Command]]:
        """The calls that ended, and the commands that waited for them: these are to be decided anew."""
        self.changed.clear()
        settled, self._settled = self._settled, []
        waited: list[Command] = []
        for ended in settled:
            # Only now, so that no other call of the saga begins before this one's outcome is stored.
            saga = ended.call.command.head.parsed_id.ref
            del self._open[saga]
            waited += self._waiting.pop(saga, ())
        self._waiting_count -= len(waited)
        return settled, waited

    async def rest(self, timeout_ms: int) -> None:
        """Give open calls `timeout_ms` to end; those that have not go on."""
        if self._open:
            await asyncio.wait(self._open.values(), timeout=timeout_ms / 1000)

    async def drain(self, timeout_ms: int) -> None:
        """Give open calls `timeout_ms` to end, then cancel them; their rows stay `started`, to be called again."""
        await self.rest(timeout_ms)
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, call: Call) -> None:
        async with self._slots:
            failpoint("participant.call.before")
            ended = await make_call(call, self._faults, self.calling)
            failpoint("participant.call.after")
        # After the wait: `take` has put another list in place of the one that was there before it.
        self._settled.append(ended)
        self.changed.set()


def call_to_json(command: Command) -> str:
    """A begun call as it is stored beside the fence."""
    head = command.head
    return encode(
        {
            "id": head.command_id,
            "type": head.command_type,
            "replyTo": head.reply_to,
            "attempt": head.attempt,
            "startedAt": head.started_at_ms,
            # As it came, not as the model would write it: it is read by the model again.
            "body": decode_object(command.value),
        }
    ).decode()


def call_from_json(text: str, handlers: dict[str, Handler]) -> Command:
    """The command whose call was begun."""
    stored = decode_trusted(text)
    head = CommandHead(
        stored["id"],
        parse_command_id(stored["id"]),
        stored["type"],
        stored["replyTo"],
        stored["attempt"],
        stored["startedAt"],
    )
    return command_of(head, encode(stored["body"]), handlers.get(head.command_type))
