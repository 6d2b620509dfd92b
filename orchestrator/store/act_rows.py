"""Operators' acts as rows of the table that is their queue and their audit in one (R25)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import VERBS, EventKind
from kafka_saga.orchestrator.store.port import NotedAct, QueuedAct, UnreadableAct
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.ids import SagaRef

START, PURGE, REDRIVE, DISCARD, REVEAL = NOTED = ("start", "purge", "redrive", "discard", "reveal")
"""What is done by people and is no verb of a saga's: noted among the acts, under these words."""

STARTS = f"{START}:"
"""How the ids of starts begin, and of no other act: one saga has one start."""

_WORDS = {kind.value: word for word, kind in VERBS.items()}
_KINDS = frozenset(VERBS.values())


@dataclass(frozen=True, slots=True)
class ActRow:
    """One act: who asked for what and why, and what became of it.

    Attributes:
        kind: the verb as it is stored, e.g. `retry_now`.
        created_at, decided_at: milliseconds; the first by the clock of who asked, the second by the store's.
        outcome: `done`, `unchanged` or `refused`; None while it waits.
        message: a sentence on the outcome.

    """

    act_id: str
    ref: SagaRef
    kind: str
    arguments: Mapping[str, Any]
    actor: str
    reason: str
    expected_state: str | None
    expected_version: int | None
    created_at: int
    outcome: str | None
    message: str | None
    decided_at: int | None

    @property
    def verb(self) -> str:
        """The word people use, e.g. `retry`."""
        return verb_word(self.kind)


def verb_word(kind: str) -> str:
    """The word people use for a stored verb."""
    return _WORDS.get(kind, kind)


def insert_row(queued: QueuedAct, now: int) -> tuple[Any, ...]:
    """The columns of a new act."""
    act = queued.act
    return (
        act.act_id,
        *queued.ref,
        act.verb.value,
        encode(act.arguments).decode(),
        act.actor,
        act.reason,
        act.expected_state,
        act.expected_version,
        now,
    )


def noted_row(act: NotedAct, now: int) -> tuple[Any, ...]:
    """The columns of an act that is done already."""
    arguments = encode(act.arguments).decode()
    return (act.act_id, *act.ref, act.word, arguments, act.actor, act.reason, None, None, now, act.message)


def read_row(row: tuple[Any, ...]) -> ActRow:
    """An act with its outcome."""
    act_id, saga_type, saga_id, verb, arguments, *rest = row
    return ActRow(act_id, SagaRef(saga_type, saga_id), verb, _arguments(arguments) or {}, *rest)


def read_queued(row: tuple[Any, ...]) -> QueuedAct | UnreadableAct:
    """An act that waits. What cannot be read must not stop the engine: it would meet the row again for ever."""
    act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version = row
    given = _arguments(arguments)
    if verb not in _KINDS:
        return UnreadableAct(act_id, f"this orchestrator does not know the verb '{verb}': is it older than the sender?")
    if not all(isinstance(text, str) for text in (saga_type, saga_id, actor, reason)):
        return UnreadableAct(act_id, "the act's saga, actor and reason must be text")
    if given is None:
        return UnreadableAct(act_id, "the act's arguments are not a JSON object")
    act = Act(act_id, EventKind(verb), actor, reason, expected_state, expected_version, given)
    return QueuedAct(act, SagaRef(saga_type, saga_id))


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        found = decode_trusted(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
