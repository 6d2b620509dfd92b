"""The conversation of a saga: a row a transition, of what came in, what changed, and what went out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.dashboard.drawing.svg import anchor
from kafka_saga.orchestrator.dashboard.saga.picture import seconds
from kafka_saga.orchestrator.dashboard.vocabulary import Look, step_look
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.events import (
    Act,
    Admitted,
    NotSent,
    Origin,
    Park,
    Released,
    Replied,
    ReplyUnreadable,
    Restored,
    TimerFired,
)
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import LogStatus, SagaState
from kafka_saga.orchestrator.operations.sagas.differences import DIFFERENCES_MAX, Difference, data_differences
from kafka_saga.orchestrator.operations.sagas.history import History, Sent, Turn
from kafka_saga.orchestrator.store.act_rows import verb_word
from kafka_saga.runtime.wording import duration
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.topics import TopicNames

TURNS_SHOWN = 120
"""Changes that a page shows unless it is asked for all."""

_VALUE_SHOWN = 60
_NEAR_MS = 60_000
"""Within a minute of the beginning times are told from there; later by the clock."""

_PLACE_WAIT_MS = 100


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a row: what it is, where it lies as far as that is known, and where it can be opened."""

    ident: str
    name: str
    where: str
    href: str
    is_event: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed: a step and its new status, with what is told of it."""

    look: Look
    subject: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One transition for people.

    Attributes:
        idents: anchors of what it is the first to tell of: a step, its undoing.
        since: how long after the beginning; empty where the clock is told instead.
        cause: what happened, where no message came in.
        states: the saga's states before and after; None where they are the same or not known.
        sent: None where it is not known what was sent.

    """

    ident: str
    idents: tuple[str, ...]
    at: int
    since: str
    back: bool
    message: Message | None
    cause: str
    states: tuple[str, str] | None
    changes: tuple[Change, ...]
    differences: tuple[str, ...]
    sent: tuple[Message, ...] | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """The rows that are shown, in their order, how many are left out, and how many messages there were."""

    rows: tuple[Row, ...]
    left_out: int
    newest_first: bool
    changes: int
    messages: int
    gap: str | None


def conversation(
    definition: Definition | None, saga: Saga, history: History, topics: TopicNames, base: str, *, whole: bool = False
) -> Conversation:
    """What is shown of `history`; messages are opened below the path `base`."""
    newest_first = saga.state is SagaState.PARKED
    turns = list(history.turns)
    seen: set[str] = set()
    rows = [_row(definition, turn, topics, base, seen) for turn in _merged(turns)]
    messages = sum((row.message is not None) + len(row.sent or ()) for row in rows)
    shown = rows if whole else rows[-TURNS_SHOWN:]
    ordered = tuple(reversed(shown)) if newest_first else tuple(shown)
    return Conversation(ordered, len(rows) - len(shown), newest_first, len(rows), messages, history.gap)


def _merged(turns: Sequence[Turn]) -> list[tuple[Turn, Turn | None]]:
    """The acceptance with the admission that follows it: nearly always they are one moment."""
    if len(turns) > 1 and isinstance(turns[1].event, Admitted):
        return [(turns[1], turns[0]), *((turn, None) for turn in turns[2:])]
    return [(turn, None) for turn in turns]


def _row(
    definition: Definition | None, pair: tuple[Turn, Turn | None], topics: TopicNames, base: str, seen: set[str]
) -> Row:
    turn, accepted = pair
    began = turn.at if accepted is None else accepted.at
    message, cause = _incoming(definition, turn, topics, base)
    if accepted is not None:
        message, cause = _incoming(definition, accepted, topics, base)
    idents = tuple(ident for ident in _idents(turn) if ident not in seen)
    seen.update(idents)
    sent = None if turn.sent is None else tuple(_sent(one, turn, place, base) for place, one in enumerate(turn.sent))
    states = _states(turn)
    changes = _changes(definition, turn)
    if accepted is not None and turn.at - accepted.at >= _PLACE_WAIT_MS:
        waited = f"waited {duration(turn.at - accepted.at)} for a place"
        changes = (Change(step_look("PENDING"), "", "", waited), *changes)
    told = data_differences(definition, turn.before, turn.after)
    lines = [difference_line(one) for one in told[:DIFFERENCES_MAX]]
    if len(told) > DIFFERENCES_MAX:
        lines.append(f"… and {len(told) - DIFFERENCES_MAX} fields more")
    return Row(
        anchor("turn", turn.number),
        idents,
        began,
        "",
        _is_back(turn),
        message,
        cause,
        states,
        changes,
        tuple(lines),
        sent,
    )


def since(row: Row, first: int) -> str:
    """`+7.21 s`; empty where the clock says more."""
    return f"+{seconds(row.at - first)}" if row.at - first < _NEAR_MS else ""


def _idents(turn: Turn) -> list[str]:
    """What the picture's nodes lead to."""
    found = []
    for row in turn.rows:
        if row.step and row.status in (LogStatus.IN_PROGRESS, LogStatus.SUCCESS):
            found.append(anchor("step", row.step))
        if row.step and row.status in (LogStatus.COMPENSATING, LogStatus.COMPENSATED):
            found.append(anchor("undo", row.step))
    return list(dict.fromkeys(found))


def _is_back(turn: Turn) -> bool:
    if turn.after is not None:
        parked = turn.after.parked
        undone = (SagaState.COMPENSATING, SagaState.COMPENSATED)
        return turn.after.state in undone or (parked is not None and parked.from_state is SagaState.COMPENSATING)
    undoing = (LogStatus.COMPENSATING, LogStatus.COMPENSATED, LogStatus.NOTHING_TO_UNDO)
    return any(row.status in undoing for row in turn.rows)


def _states(turn: Turn) -> tuple[str, str] | None:
    before = "" if turn.before is None else turn.before.state.value
    after = "" if turn.after is None else turn.after.state.value
    return (before, after) if before and after and before != after else None


def _incoming(definition: Definition | None, turn: Turn, topics: TopicNames, base: str) -> tuple[Message | None, str]:
    """The message that came in; or in words what happened instead."""
    event = turn.event
    ident, href = anchor("in", turn.number), f"{base}/messages/{turn.number}/in"
    if turn.number == 0:
        if turn.after is None:
            return Message(ident, "request", "", href), ""
        return Message(ident, "request", topics.requests(turn.after.ref.saga_type), href), ""
    if isinstance(event, Replied):
        name = f"{_command(definition, event.step, event.phase)}: {event.outcome.value}"
        return Message(ident, name, place_of(event.origin), href), ""
    if isinstance(event, ReplyUnreadable):
        return Message(ident, f"unreadable reply ({event.cause})", place_of(event.origin), href), ""
    return None, _cause(turn)


def _cause(turn: Turn) -> str:
    """What happened, where it was no message."""
    event = turn.event
    told = {
        Admitted: "there was room for it",
        Released: "what held it was resumed",
        Restored: "the store was restored from a backup",
        TimerFired: _timer(turn),
    }
    for kind, text in told.items():
        if isinstance(event, kind):
            return text
    if isinstance(event, Act):
        return f"{verb_word(event.verb.value)} by {event.actor}: {event.reason}"
    if isinstance(event, NotSent):
        return f"the command was not sent: {event.message}"
    if isinstance(event, Park):
        return "the orchestrator cannot go on"
    return str(turn.rows[0].detail.get("event", "something that this version does not know")) if turn.rows else ""


def _timer(turn: Turn) -> str:
    statuses = {row.status for row in turn.rows}
    if LogStatus.TIMEOUT in statuses:
        return "no answer came in time"
    if statuses & {LogStatus.IN_PROGRESS, LogStatus.COMPENSATING} and not any(
        "note" in row.detail for row in turn.rows
    ):
        return "the backoff ended"
    return "a timer"


def place_of(origin: Origin | None) -> str:
    """`inventory.replies[1]@15`."""
    return "" if origin is None else f"{origin.topic}[{origin.partition}]@{origin.offset}"


def _command(definition: Definition | None, step: str, phase: Phase) -> str:
    index = None if definition is None else definition.index(step)
    if definition is None or index is None or phase not in definition.steps[index].phases:
        return f"{step} {phase.value}"
    return definition.command_type(step, phase)


def _sent(sent: Sent, turn: Turn, place: int, base: str) -> Message:
    name = sent.message_type if sent.attempt in (None, 1) else f"{sent.message_type}, attempt {sent.attempt}"
    href = f"{base}/messages/{turn.number}/{place}"
    return Message(anchor("out", turn.number, place), name, sent.topic, href, sent.is_event)


def _changes(definition: Definition | None, turn: Turn) -> tuple[Change, ...]:
    found = []
    for row in turn.rows:
        if row.status is LogStatus.ACT and not ({"held", "note"} & set(row.detail)):
            continue  # the act itself stands in the column of what came in
        number = None if definition is None else definition.index(row.step)
        subject = row.step if number is None else f"{number + 1} {row.step}"
        status = "HELD" if "held" in row.detail else row.status.value
        found.append(Change(step_look(status), subject, status, _told(row)))
    return tuple(found)


def _told(row: LogEntry) -> str:
    """What a log row says besides its status."""
    detail = row.detail
    held = detail.get("held")
    body = detail.get("body")
    said = body.get("error") if isinstance(body, Mapping) and row.status is not LogStatus.SUCCESS else None
    text = detail.get("why") or detail.get("error") or detail.get("note") or said
    if isinstance(held, Mapping):
        text = f"by {held.get('actor')}: {held.get('reason')}"
    if row.status is LogStatus.RETRY and "retry_at" in detail:
        return f"{text}; again in {duration(max(0, detail['retry_at'] - row.at))}"
    if row.attempt > 1 and row.status in (LogStatus.IN_PROGRESS, LogStatus.COMPENSATING) and not text:
        return f"attempt {row.attempt}"
    return (
        ""
        if text is None or (row.status in (LogStatus.COMPENSATING, LogStatus.IN_PROGRESS) and text == said)
        else str(text)
    )


def difference_line(one: Difference) -> str:
    """`+ reserve_inventory.reservation_id: "res-1"`."""
    value = one.before if one.sign == "-" else one.value
    text = _short(value)
    if one.sign == "~":
        text = f"{_short(one.before)} → {text}"
    return f"{one.sign} {one.path}: {text}"


def _short(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= _VALUE_SHOWN else f"{text[: _VALUE_SHOWN - 1]}…"
