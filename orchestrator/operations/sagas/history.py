"""What happened to a saga, one transition after the other: what came in, what changed, what went out.

The log holds what came in. What went out is decided once more by the machine, which is why it is known to the byte
without asking Kafka; where it lies there, only Kafka knows (`operations.kafka.locating`). The log is replayed whole,
and what is sensitive is masked in what comes out: masked data would not be decided alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Effect, LogEntry, SendCommand
from kafka_saga.orchestrator.machine.events import Event, from_detail
from kafka_saga.orchestrator.machine.folding import Replayed, replay, transitions
from kafka_saga.orchestrator.machine.saga import Saga, accepted, record_fields
from kafka_saga.orchestrator.masking import UNKNOWN, SagaMask, command_mask, mask_of, masked_record
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.events import event_type
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that a transition sent.

    Attributes:
        message_id, message_type: its `ce_id` and `ce_type`.
        attempt: of a command; None of an event.
        body: its value.

    """

    topic: str
    message_id: str
    message_type: str
    body: Mapping[str, Any]
    attempt: int | None = None
    step: str | None = None
    phase: Phase | None = None

    @property
    def is_event(self) -> bool:
        """Whether it tells the world; else it is a command."""
        return self.attempt is None


@dataclass(frozen=True, slots=True)
class Turn:
    """One transition.

    Attributes:
        number: 0 for the acceptance, then counted.
        event: what happened; None for the acceptance, and where the log's row cannot be read.
        rows: what the log says of it.
        before, after: the saga; None where no code has its definition.
        sent: in the order in which it was published; None where it cannot be told.

    """

    number: int
    at: int
    event: Event | None
    rows: tuple[LogEntry, ...]
    before: Saga | None = None
    after: Saga | None = None
    sent: tuple[Sent, ...] | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All of them, oldest first, and why some tell less; None where none does."""

    turns: tuple[Turn, ...]
    gap: str | None = None


def history(
    definition: Definition | None,
    saga: Saga,
    log: Sequence[LogEntry],
    topics: TopicNames,
    first_sequence: int = 0,
) -> History:
    """What happened to `saga`.

    Args:
        definition: the version that it is pinned to; None where no code has it.
        saga: as it is now, whole.
        log: all its rows, oldest first, whole.
        topics: how topics are called.
        first_sequence: what events add to the saga's version (`Life.first_sequence`).

    """
    begin = Turn(0, saga.created_at, None, ())
    if definition is None:
        gap = f"No code here has version {saga.definition_version} of {saga.ref.saga_type}: what was sent is not known."
        return History((begin, *_bare(transitions(log), _Shown(UNKNOWN, frozenset(), topics))), gap)
    mask = mask_of(definition)
    shown = _Shown(mask, mask.secrets(saga) if mask.hides else frozenset(), topics, first_sequence)
    start = replace(accepted(definition, saga.ref, saga.request, saga.request_bytes, saga.created_at), row=saga.row)
    turns = [replace(begin, after=mask.masked(start), sent=())]
    try:
        for replayed in replay(definition, start, log):
            if [row.status for row in replayed.decision.log] != [row.status for row in replayed.rows]:
                raise ValueError(f"the log says {replayed.rows[-1].status.value}")  # noqa: TRY301 -- as replay says it
            turns.append(_turn(definition, replayed, len(turns), shown))
    except (ValueError, LookupError, TypeError) as error:
        rest = list(transitions(log))[len(turns) - 1 :]
        gap = f"From change {len(turns)} on, what was sent is not known: this code decides otherwise ({error})."
        return History((*turns, *_bare(iter(rest), shown, len(turns))), gap)
    return History(tuple(turns))


@dataclass(frozen=True, slots=True)
class _Shown:
    """What people are shown of a transition, and how its messages are called."""

    mask: SagaMask
    secrets: frozenset[str]
    topics: TopicNames
    first_sequence: int = 0

    def rows(self, rows: Sequence[LogEntry]) -> tuple[LogEntry, ...]:
        if not self.mask.hides:
            return tuple(rows)
        return tuple(self.mask.masked_entry(row, self.secrets) for row in rows)


def _turn(definition: Definition, replayed: Replayed, number: int, shown: _Shown) -> Turn:
    after, mask = replayed.decision.saga, shown.mask
    sent = tuple(_sent(definition, after, effect, shown) for effect in replayed.decision.effects)
    rows = shown.rows(replayed.rows)
    return Turn(number, rows[0].at, _event(rows[0]), rows, mask.masked(replayed.before), mask.masked(after), sent)


def _bare(groups: Iterator[tuple[LogEntry, ...]], shown: _Shown, first: int = 1) -> list[Turn]:
    """What the log alone says."""
    masked = (shown.rows(rows) for rows in groups)
    return [Turn(number, rows[0].at, _event(rows[0]), rows) for number, rows in enumerate(masked, first)]


def _event(entry: LogEntry) -> Event | None:
    try:
        return from_detail(entry.detail)
    except (LookupError, TypeError, ValueError):  # written by a version of this program that knows more
        return None


def _sent(definition: Definition, saga: Saga, effect: Effect, shown: _Shown) -> Sent:
    topics = shown.topics
    saga_type, saga_id = saga.ref
    if isinstance(effect, SendCommand):
        command = effect.command_id
        return Sent(
            topics.commands(effect.service),
            str(command),
            effect.command_type,
            command_mask(definition, command.step, command.phase).mask(decode_trusted(effect.body)),
            effect.attempt,
            command.step,
            command.phase,
        )
    return Sent(
        topics.events(saga_type),
        f"{saga_type}/{saga_id}/{shown.first_sequence + saga.version}/{effect.event}",
        event_type(saga_type, effect.event),
        record_fields(definition, masked_record(definition, saga)),
    )
