"""The operator's verbs, sent: an act is a row that the engine takes like a reply (R25).

`meant_for` makes an act of a verb and a saga, `send` puts it into the store beside its owner, `wait` says what it
came to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.acts.following import Result, Standing, follow
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.act_rows import STARTS, ActRow
from kafka_saga.orchestrator.store.port import QueuedAct
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import RefusedError, UsageError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef

POLL_MS = 100
"""The engine looks for acts every 200 ms; asking twice as often adds half of that at most."""

HOLDER_GRACE_MS = 5_000
"""An orchestrator that is being restarted is back within this; after it, nobody is coming."""

UNATTENDED = Standing(
    Result.WAITING,
    "no orchestrator runs on this store: the act waits there, and is taken when one starts",
    unattended=True,
)


async def meant_for(reader: StoreReader, act: Act, saga_id: str, saga_type: str | None = None) -> QueuedAct:
    """An act on one saga, meant for the state the saga is in now where the act names none.

    Raises:
        NotFoundError: there is no such saga, or several types have one.
        UsageError: a text is empty or too long, or the arguments are too large.

    """
    saga = await reader.find(saga_id, saga_type)
    return act_on(saga.ref, act, saga.state)


def act_on(ref: SagaRef, act: Act, state: SagaState) -> QueuedAct:
    """An act, checked, on a saga that was seen in `state`.

    Raises:
        UsageError: a text is empty or too long, or the arguments are too large.

    """
    check_act(act)
    return QueuedAct(replace(act, expected_state=act.expected_state or state.value), ref)


def check_act(act: Act) -> None:
    """What holds for every act.

    Raises:
        UsageError: a text is empty or too long, the arguments are too large, or the id is that of a saga's start.

    """
    for name, text in (("act id", act.act_id), ("actor", act.actor), ("reason", act.reason)):
        if not 0 < len(text) <= ACT_TEXT_LENGTH_MAX:
            raise UsageError(f"the {name} must have 1 to {ACT_TEXT_LENGTH_MAX} characters")
    if act.act_id.startswith(STARTS):
        raise UsageError(f"ids that begin with '{STARTS}' are those of sagas' starts: choose another for the act")
    if len(encode(act.arguments)) > PAYLOAD_BYTES_MAX:
        raise UsageError(f"the data has more than {PAYLOAD_BYTES_MAX:,} bytes, as no reply could")


async def send(queue: ActQueue, reader: StoreReader, acts: Sequence[QueuedAct], now: int) -> int:
    """Put acts into the queue, all or none; how many were not there yet.

    Raises:
        RefusedError: an act id was used for something else.

    """
    sent = await queue.send(acts, now)
    if sent < len(acts):
        there = await reader.acts_by_id([queued.act.act_id for queued in acts])
        for queued in acts:
            _check_same(queued, there[queued.act.act_id])
    return sent


async def look(reader: StoreReader, acts: Sequence[QueuedAct]) -> dict[str, Standing]:
    """How each act stands now, by its id. Acts that are not there stand nowhere and are left out."""
    rows = await reader.acts_by_id([queued.act.act_id for queued in acts])
    return {act_id: await standing_of(reader, row) for act_id, row in rows.items()}


async def wait(
    reader: StoreReader,
    queued: QueuedAct,
    *,
    clock: Clock,
    timeout_ms: int,
    holder: Callable[[], Awaitable[str | None]],
) -> Standing:
    """Wait until an act has had its effect: for a retry, until the reply to its command is in.

    Args:
        reader: the store.
        queued: the act, sent already.
        clock: paces the looks.
        timeout_ms: then the answer is where it stands: `waiting`.
        holder: tells who works on the store now; without anybody it gives up after `HOLDER_GRACE_MS`.

    """
    began = clock.monotonic_ms()
    held_at = began
    while True:
        standing = (await look(reader, [queued]))[queued.act.act_id]
        now = clock.monotonic_ms()
        if standing.result is not Result.WAITING or standing.stalled:
            return standing
        held = await holder() is not None
        held_at = now if held else held_at
        if now - began >= timeout_ms or now - held_at >= HOLDER_GRACE_MS:
            return standing if held else UNATTENDED
        await clock.sleep(POLL_MS)


async def standing_of(reader: StoreReader, row: ActRow) -> Standing:
    """How the act of a row stands now."""
    saga = await reader.get(row.ref) if row.outcome == "done" else None
    return follow(row, saga, () if saga is None else await reader.log(saga))


def _check_same(queued: QueuedAct, row: ActRow) -> None:
    act = queued.act
    if (row.ref, row.kind, row.arguments) != (queued.ref, act.verb.value, act.arguments):
        raise RefusedError(f"act id '{act.act_id}' was used for another act ({row.verb} of {row.ref}): choose a new id")
