"""What tells whether a store's work goes on: a few short statements beside its owner (R24), however large it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import LogStatus, SagaState
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.port import Loss
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.limits import COUNTED_ROWS_MAX, OUTBOX_BATCHES_READ_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef

_SENT = {LogStatus.IN_PROGRESS, LogStatus.COMPENSATING}
_NOT_A_WORD = {LogStatus.TIMEOUT, LogStatus.PARKED, LogStatus.ACT}
_AWAITING = (SagaState.RUNNING, SagaState.COMPENSATING, SagaState.PARKED)


class Outbox(NamedTuple):
    """What waits to be published: messages in all, and of the oldest batches how many there are for each topic."""

    messages: int = 0
    oldest_id: int | str | None = None
    oldest_at: int = 0
    topics: tuple[tuple[str, int], ...] = ()


class Overdue(NamedTuple):
    """Timers that should have fired: how many, and when the first should have."""

    number: int = 0
    since: int | None = None


class AtStep(NamedTuple):
    """Unheld sagas of one version and state that are at the same step, from 1; `first` is the oldest's key."""

    state: SagaState
    saga_type: str
    version: int
    step: int
    number: int
    first: int


_NOTHING_WAITS = Outbox()
_NONE_OVERDUE = Overdue()


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at a store. Times are the store's, in milliseconds; counts stop at COUNTED_ROWS_MAX."""

    store_id: str = ""
    clock: int = 0
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    outbox: Outbox = _NOTHING_WAITS
    overdue: Overdue = _NONE_OVERDUE
    states: dict[SagaState, int] = field(default_factory=dict)
    at_steps: tuple[AtStep, ...] = ()
    parked: dict[str, int] = field(default_factory=dict)
    acts: tuple[int, int | None] = (0, None)
    """How many wait to be taken, and since when the first does."""
    pauses: dict[str, Pause] = field(default_factory=dict)
    oldest_unfinished_at: int | None = None
    losses: tuple[Loss, ...] = ()


async def read_vitals(reader: StoreReader, overdue_before: int) -> Vitals:
    """Look at everything; timers count as overdue that should have fired before `overdue_before`."""
    ask = reader.tables.fetch_all
    meta = await reader.meta()
    at_steps = [
        AtStep(state, *row)
        for state in _AWAITING
        for row in await ask("waiting_steps", (state.value, COUNTED_ROWS_MAX))
    ]
    [(acts, acts_since)] = await ask("acts_not_taken", (COUNTED_ROWS_MAX,))
    [(overdue, overdue_since)] = await ask("overdue", (overdue_before, COUNTED_ROWS_MAX))
    oldest = await reader.oldest_unfinished()
    return Vitals(
        store_id=meta["store_id"],
        clock=int(meta["clock"]),
        offsets=await read_offsets(reader),
        outbox=await _read_outbox(reader),
        overdue=Overdue(overdue, overdue_since),
        states=await reader.count_unfinished(),
        at_steps=tuple(at_steps),
        parked=dict(await ask("parked_reasons", (COUNTED_ROWS_MAX,))),
        acts=(acts, acts_since),
        pauses=await reader.pauses(),
        oldest_unfinished_at=None if oldest is None else oldest.created_at,
        losses=tuple(rows.read_losses(await ask("losses"))),
    )


async def read_offsets(reader: StoreReader) -> dict[TopicPartition, int]:
    """The next offset to read of every partition that was read (R23)."""
    found = await reader.tables.fetch_all("offsets")
    return {TopicPartition(topic, number): offset for topic, number, offset in found}


async def read_saga_at(reader: StoreReader, key: int) -> Saga | None:
    """The saga with that key, or None."""
    found = await reader.tables.fetch_all("by_key", (key,))
    return rows.read_saga(found[0]) if found else None


async def waits_since(reader: StoreReader, saga: Saga, step: str) -> int:
    """When the first command was decided that its service has not said a word about since.

    During a backoff that is its end: the service has answered, and is not asked yet.
    """
    retry_at = None if saga.active_index is None else saga.steps[saga.active_index].retry_at
    if retry_at is not None:
        return retry_at
    since = None
    for entry in await reader.log(saga):
        if entry.step != step or entry.status in _NOT_A_WORD:
            continue
        if entry.status not in _SENT:
            since = None
        elif since is None:
            since = entry.at
    return saga.updated_at if since is None else since


async def unpublished_since(reader: StoreReader, text: str) -> tuple[int, str] | None:
    """Since when a message that carries `text` (a command's id) waits in the outbox, and for which topic; or None."""
    wanted = text.encode()
    found = await reader.tables.fetch_all("outbox_with", (wanted,))
    for created_at, content in found:
        for message in rows.read_messages(content):
            if any(value == wanted for _name, value in message.headers):
                return int(created_at), message.topic
    return None


async def unfinished_among(reader: StoreReader, saga_types: Sequence[str], ids: Sequence[str]) -> set[SagaRef]:
    """Those of the sagas with these ids that have not ended."""
    wanted = encode(list(ids)).decode()
    found: set[SagaRef] = set()
    for saga_type in saga_types:
        for row in await reader.tables.fetch_all("unfinished_among", (saga_type, wanted)):
            found.add(SagaRef(*row))
    return found


async def count_ahead(reader: StoreReader, saga: Saga) -> int:
    """How many sagas wait to be admitted before this one."""
    [(count,)] = await reader.tables.fetch_all("ahead_of", (saga.row, COUNTED_ROWS_MAX))
    return int(count)


async def _read_outbox(reader: StoreReader) -> Outbox:
    messages, oldest_at = await reader.outbox_age()
    found = await reader.tables.fetch_all("outbox_first", (OUTBOX_BATCHES_READ_MAX,))
    if not found or oldest_at is None:
        return Outbox()
    topics: Counter[str] = Counter()
    for _id, _at, _count, content in found:
        topics.update(message.topic for message in rows.read_messages(content))
    return Outbox(messages, found[0][0], oldest_at, tuple(topics.most_common()))
