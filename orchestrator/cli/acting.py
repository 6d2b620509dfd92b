"""Sending one act from the command line, and telling what it came to. Every verb goes through here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from cyclopts import Group, Parameter

from kafka_saga.orchestrator.app import registry_of, sight_of
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED, EXIT_TIMED_OUT
from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import AS_DURATION, Output
from kafka_saga.orchestrator.cli.output import console, print_json, say, styled
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.operations.acts import asking
from kafka_saga.orchestrator.operations.acts.acting import HOLDER_GRACE_MS, meant_for, send, wait
from kafka_saga.orchestrator.operations.acts.following import Result, Standing
from kafka_saga.orchestrator.operations.acts.pausing import on_scope, scope_text
from kafka_saga.orchestrator.operations.acts.telling import standing_document
from kafka_saga.orchestrator.operations.sagas.show import Shown
from kafka_saga.orchestrator.operations.sagas.show import show as show_saga
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.act_rows import verb_word
from kafka_saga.orchestrator.store.port import NO_SAGA, QueuedAct
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import RefusedError, UnavailableError, UsageError
from kafka_saga.runtime.user import this_user
from kafka_saga.runtime.wording import plain


@Parameter(name="*", group=Group("The act", sort_key=1))
@dataclass(frozen=True, slots=True)
class ActFlags:
    """Who acts and why, on what he saw, and whether he waits."""

    reason: Annotated[str | None, Parameter(help="Why; it is kept with the act")] = None
    actor: Annotated[str | None, Parameter(help="Who acts [default: you@this-host]")] = None
    act_id: Annotated[str | None, Parameter(help="Your own id: the same id twice is one act")] = None
    if_state: Annotated[
        SagaState | None, Parameter(help="Refuse unless the saga is in it [default: the state it is in now]")
    ] = None
    if_version: Annotated[int | None, Parameter(help="Refuse unless the saga has exactly this version")] = None
    no_wait: Annotated[
        bool, Parameter(negative="", show_default=False, help="Send only; `saga acts` shows what became of it")
    ] = False
    timeout: Annotated[int, AS_DURATION, Parameter(help="Exit 124 after waiting so long", show_default=False)] = 60_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A verb as it was asked for, whichever sagas it is for."""

    settings: Settings
    verb: EventKind
    saga_type: str | None
    flags: ActFlags
    output: Output
    arguments: Mapping[str, Any]

    @property
    def word(self) -> str:
        """The verb as people say it."""
        return verb_word(self.verb.value)

    def act(self) -> Act:
        """The act, signed."""
        flags = self.flags
        who = this_user() if flags.actor is None else flags.actor
        asked = asking.Asked(
            self.verb, who, flags.act_id or new_id(), flags.reason, flags.if_state, flags.if_version, self.arguments
        )
        return asked.act()


def act_on_saga(asked: Asked, saga_id: str) -> int:
    """Send one act, wait for what it comes to, and print that; the exit code.

    Raises:
        NotFoundError: there is no such saga.
        SagaError: the store cannot be used, or the act cannot be sent.

    """
    return asyncio.run(_act_on_saga(asked, saga_id))


def act_on_scope(asked: Asked, scope: str, *, under_way: bool = False) -> int:
    """The same for a service or a saga type, by its scope.

    Raises:
        UsageError: the act is meant for a state or a version, which only sagas have.
        SagaError: the store cannot be used, or the act cannot be sent.

    """
    if asked.flags.if_state is not None or asked.flags.if_version is not None:
        raise UsageError("--if-state and --if-version are for one saga")
    return asyncio.run(_act_on(asked, on_scope(asked.act(), scope, under_way=under_way)))


async def _act_on_saga(asked: Asked, saga_id: str) -> int:
    reader = await StoreReader.open(asked.settings.store_at)
    try:
        saga_type, found = await meant(reader, saga_id, asked.saga_type, to_change=True)
        queued = await meant_for(reader, asked.act(), found, saga_type)
    finally:
        await reader.close()
    return await _act_on(asked, queued)


async def _act_on(asked: Asked, queued: QueuedAct) -> int:
    settings, flags = asked.settings, asked.flags
    clock = SystemClock()
    reader = await StoreReader.open(settings.store_at, sight_of(settings))
    try:
        await _send(settings, reader, queued, clock.now_ms())
        held = await reader.owners.now(clock) is not None
        if flags.no_wait:
            _say_sent(queued, held=held, output=asked.output)
            return 0
        if not held:
            seconds = HOLDER_GRACE_MS // 1000
            say(f"no orchestrator runs on this store: act {queued.act.act_id} is sent, waiting {seconds} s for one …")
        standing = await _wait(reader, queued, clock, flags.timeout)
        saga_type, saga_id = queued.ref
        shown = None
        if queued.ref != NO_SAGA:
            shown = await show_saga(reader, registry_of(settings), saga_id, saga_type, now=clock.now_ms())
    finally:
        await reader.close()
    return _tell(queued, standing, shown, asked.output)


async def _send(settings: Settings, reader: StoreReader, queued: QueuedAct, now: int) -> None:
    queue = await ActQueue.open(settings.store_at)
    try:
        await send(queue, reader, [queued], now)
    finally:
        await queue.close()


async def _wait(reader: StoreReader, queued: QueuedAct, clock: SystemClock, timeout_ms: int) -> Standing:
    holder = partial(reader.owners.now, clock)
    try:
        return await wait(reader, queued, clock=clock, timeout_ms=timeout_ms, holder=holder)
    except asyncio.CancelledError:
        say(f"not waiting any more; the act is sent: {_audit(queued)}")
        raise


def _subject(queued: QueuedAct) -> str:
    """What the act is on, for people."""
    return queued.ref.saga_id if queued.ref != NO_SAGA else scope_text(str(queued.act.arguments.get("scope")))


def _audit(queued: QueuedAct) -> str:
    """The command that shows what became of the act."""
    return f"saga acts {queued.ref.saga_id}".strip()


def _say_sent(queued: QueuedAct, *, held: bool, output: Output) -> None:
    if output != "table":
        print_json(standing_document(queued, Standing(Result.WAITING, "sent"), None))
        return
    word = verb_word(queued.act.verb.value)
    console().print(plain(f"{_subject(queued)}: {word} is sent as act {queued.act.act_id}"), soft_wrap=True)
    nobody = "" if held else "no orchestrator runs on this store: the act waits there, and is taken when one starts; "
    say(f"{nobody}what became of it: {_audit(queued)}")


def _tell(queued: QueuedAct, standing: Standing, shown: Shown | None, output: Output) -> int:
    """What it came to: for programs on standard output, whatever it was; for people what did not work is an error."""
    act, subject, word = queued.act, _subject(queued), verb_word(queued.act.verb.value)
    if output != "table":
        print_json(standing_document(queued, standing, shown))
        return _EXIT_CODES.get(standing.result, 5 if standing.unattended else EXIT_TIMED_OUT)
    stands = "" if shown is None else f"{subject} is {shown.status}. {shown.sentence}"
    match standing.result:
        case Result.SUCCEEDED | Result.UNCHANGED:
            head = "nothing to do" if standing.result is Result.UNCHANGED else f"{word} succeeded"
            console().print(styled(f"{subject}: {head}: {standing.message}"), soft_wrap=True)
            if stands:
                console().print(styled(stands), soft_wrap=True)
            return 0
        case Result.REFUSED:
            raise RefusedError(f"{subject}: {word} refused: {standing.message}")
        case Result.FAILED:
            say(f"saga: {subject}: {word} did not work: {standing.message}")
            say(stands)
            return EXIT_FAILED
        case Result.WAITING:
            later = f"act {act.act_id}; what became of it: {_audit(queued)}"
            if standing.unattended:
                raise UnavailableError(f"{subject}: {standing.message} ({later})")
            say(f"saga: {subject}: {word} has not ended yet: {standing.message} ({later})")
            return EXIT_TIMED_OUT


_EXIT_CODES = {Result.SUCCEEDED: 0, Result.UNCHANGED: 0, Result.FAILED: 1, Result.REFUSED: 4}
