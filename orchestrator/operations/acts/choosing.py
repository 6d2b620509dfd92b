"""Which sagas a bulk act is for. The list is frozen before anything is sent: what is confirmed is what is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kafka_saga.orchestrator.machine.saga import OPERATOR, Saga
from kafka_saga.orchestrator.machine.states import TERMINAL, ParkReason, SagaState
from kafka_saga.orchestrator.operations.sagas.listing import error_of
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import ContractError, NotFoundError, UsageError
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.ids import SagaRef

PAGE = 1_000
"""Sagas read at once: a few megabytes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be true of a saga to be chosen; what is None or empty may be anything.

    Attributes:
        listed: what a list can be filtered by.
        step: the step in progress or being undone, where its definition is registered.
        cause: why it is parked.
        limit: the oldest so many.
        held_by_hand: only sagas that people hold one by one.

    """

    listed: Filter = field(default_factory=Filter)
    step: str | None = None
    cause: ParkReason | None = None
    limit: int | None = None
    held_by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A saga on the frozen list, and the state it was seen in."""

    ref: SagaRef
    state: SagaState
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Frozen:
    """The list, oldest saga first; and ids that were given and do not exist."""

    chosen: list[Chosen]
    missing: list[str] = field(default_factory=list)


async def choose(reader: StoreReader, registry: Registry, wanted: Wanted) -> Frozen:
    """The sagas that the filter lets through now, oldest first."""
    found: list[Chosen] = []
    page = replace(wanted.listed, limit=PAGE)
    while sagas := await reader.newest(page):
        found += [_chosen(registry, saga) for saga in sagas if _wants(wanted, registry, saga)]
        page = replace(page, before_row=sagas[-1].row)
    found.reverse()
    return Frozen(found[: wanted.limit])


async def choose_ids(reader: StoreReader, registry: Registry, lines: Iterable[str], saga_type: str | None) -> Frozen:
    """The sagas of a list: one id a line, or one JSON object with `sagaId`, as `saga list -o jsonl` prints them.

    Raises:
        UsageError: a line is neither, or the list is empty.

    """
    frozen = Frozen([])
    wanted = dict.fromkeys(_identity(number, line, saga_type) for number, line in enumerate(lines, 1) if line.strip())
    if not wanted:
        raise UsageError("the list of ids is empty")
    for saga_id, its_type in wanted:
        try:
            frozen.chosen.append(_chosen(registry, await reader.find(saga_id, its_type)))
        except NotFoundError:
            frozen.missing.append(saga_id)
    return frozen


def standing_step(registry: Registry, saga: Saga) -> str | None:
    """The name of the step that the saga stands at; None where there is none, or no code has its definition."""
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    index = saga.active_index
    return None if definition is None or index is None or saga.state in TERMINAL else definition.steps[index].name


def _wants(wanted: Wanted, registry: Registry, saga: Saga) -> bool:
    if wanted.cause is not None and (saga.parked is None or saga.parked.reason is not wanted.cause):
        return False
    if wanted.held_by_hand and (saga.held is None or saga.held.scope != OPERATOR):
        return False
    return wanted.step is None or standing_step(registry, saga) == wanted.step


def _chosen(registry: Registry, saga: Saga) -> Chosen:
    step = standing_step(registry, saga)
    where = saga.state.value if saga.parked is None else f"{saga.state.value} {saga.parked.reason.value}"
    return Chosen(saga.ref, saga.state, where if step is None else f"{where} at {step}", error_of(saga))


def _identity(number: int, line: str, saga_type: str | None) -> tuple[str, str | None]:
    text = line.strip()
    if not text.startswith("{"):
        return text, saga_type
    try:
        found = decode_object(text.encode())
    except ContractError as error:
        raise UsageError(f"line {number} of the ids: {error}") from error
    saga_id, its_type = found.get("sagaId"), found.get("sagaType", saga_type)
    if not isinstance(saga_id, str) or not (its_type is None or isinstance(its_type, str)):
        raise UsageError(f"line {number} of the ids has no sagaId")
    return saga_id, its_type
