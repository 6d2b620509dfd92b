"""Random lives of a saga: replies in any order, doubled, late and never; timers; operators who press every button."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.decision import Decision, LogEntry, Result, SendCommand
from kafka_saga.orchestrator.machine.events import (
    Act,
    Admitted,
    Event,
    NotSent,
    Origin,
    Park,
    Released,
    Replied,
    ReplyUnreadable,
    TimerFired,
)
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.saga import Saga as SagaInstance
from kafka_saga.orchestrator.machine.states import EventKind, ParkReason
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.runtime.limits import SAGA_DATA_BYTES_MAX
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from tests.machine.worlds import ALL, accepted_saga, reply_of


@dataclass(frozen=True)
class Move:
    """What happens next; which command it is about is counted back from the latest one."""

    kind: str
    back: int = 0
    attempt_echoed: bool = True
    after_ms: int = 0


@dataclass(frozen=True)
class Moment:
    """One event and what became of it."""

    before: SagaInstance
    event: Event
    now: int
    result: Result
    pauses: frozenset[str]


@dataclass
class History:
    """One saga's whole life."""

    definition: Saga
    start: SagaInstance
    saga: SagaInstance
    now: int
    moments: list[Moment] = field(default_factory=list)
    sent: list[SendCommand] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    pauses: dict[str, Hold] = field(default_factory=dict)

    def apply(self, event: Event) -> Result:
        result = advance(self.definition, self.saga, event, self.now, self.pauses)
        self.moments.append(Moment(self.saga, event, self.now, result, frozenset(self.pauses)))
        if isinstance(result, Decision):
            self.saga = result.saga
            self.log.extend(result.log)
            self.sent.extend(effect for effect in result.effects if isinstance(effect, SendCommand))
        return result

    @property
    def resolved(self) -> bool:
        """Whether a person said how it ended, against all rules."""
        return any(row.detail.get("verb") == EventKind.RESOLVE for row in self.log)


_REPLIES = ["success"] * 8 + ["failure"] * 2 + ["retry"] * 2 + ["nothing", "expired", "unreadable", "huge"]
_UNSENT = ["not sent", "not sent, or is it"]
_TIMES = ["timer"] * 4 + ["early timer", "late publication"]
_ACTS = ["cancel"] * 2 + ["retry_now"] * 4 + ["skip", "resolve", "park", "admitted"]
_PAUSES = ["pause", "resume", "resume", "pause service", "pause type", "resume all", "resume all", "resume all"]


def moves() -> st.SearchStrategy[Move]:
    return st.one_of(
        st.builds(Move, st.sampled_from(_REPLIES), st.sampled_from([0, 0, 0, 0, 1, 2, 5]), st.booleans()),
        st.builds(Move, st.sampled_from(_REPLIES), st.sampled_from([0, 0, 0, 0, 1, 2, 5]), st.booleans()),
        st.builds(Move, st.sampled_from(_UNSENT), st.sampled_from([0, 0, 0, 1])),
        st.builds(Move, st.sampled_from(_TIMES), after_ms=st.sampled_from([0, 0, 1, 10_000])),
        st.builds(Move, st.sampled_from(_ACTS)),
        st.builds(Move, st.sampled_from(_PAUSES)),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A life of one of the sagas, of any length, from its request on."""
    definition = draw(st.sampled_from(ALL))
    commands = [f"{verb} {step.name}" for step in definition.steps for verb in ("do", "undo")]
    poison = draw(st.lists(st.sampled_from(commands), max_size=1)) if definition.saga_type != "order" else []
    start = accepted_saga(definition, poison=poison)
    history = History(definition, start, start, start.updated_at)
    if draw(st.integers(0, 19)):
        history.apply(Admitted())
    length = draw(st.integers(0, 40))  # lists alone are mostly short, and the interesting lives are not
    for move in draw(st.lists(moves(), min_size=length, max_size=length)):
        event = _event(history, move)
        if event is not None:
            history.apply(event)
    return history


def _event(history: History, move: Move) -> Event | None:
    """The event that `move` means for the saga as it is; None where it means nothing."""
    if move.kind in (*_REPLIES, *_UNSENT):
        if not history.sent:
            return None
        sent = history.sent[-1 - move.back % len(history.sent)]
        return _reply(history, move, sent) if move.kind in _REPLIES else _not_sent(move, sent)
    if move.kind in _TIMES:
        return _timer(history, move)
    simple = {"park": Park(ParkReason.OPERATOR, "look at this"), "admitted": Admitted()}
    if move.kind in simple:
        return simple[move.kind]
    if move.kind in ("pause service", "pause type", "resume all"):
        return _pause(history, move.kind)
    return _act(history, EventKind(move.kind))


def _reply(history: History, move: Move, sent: SendCommand) -> Event:
    step, phase, epoch = sent.command_id.step, sent.command_id.phase, sent.command_id.epoch
    attempt = sent.attempt if move.attempt_echoed else None
    body = reply_of(history.definition, step)

    if move.kind == "unreadable":
        return ReplyUnreadable(step, phase, epoch, "bad_json", "not JSON")
    replies: dict[str, dict[str, Any]] = {
        "success": {"outcome": Outcome.SUCCESS, "body": body, "body_bytes": 60},
        "huge": {"outcome": Outcome.SUCCESS, "body": body, "body_bytes": SAGA_DATA_BYTES_MAX},
        "nothing": {"outcome": Outcome.SUCCESS, "effect": Effect.NONE},
        "failure": {"outcome": Outcome.FAILURE, "reason": Reason.REJECTED, "body": {"error": "no"}},
        "expired": {"outcome": Outcome.FAILURE, "reason": Reason.FENCE_EXPIRED},
        "retry": {"outcome": Outcome.RETRY, "body": {"error": "busy"}},
    }
    origin = Origin("some.replies", 0, len(history.moments))
    return Replied(step, phase, epoch, attempt=attempt, origin=origin, **replies[move.kind])


def _not_sent(move: Move, sent: SendCommand) -> NotSent:
    step, phase, epoch = sent.command_id.step, sent.command_id.phase, sent.command_id.epoch
    may_be_out = move.kind == "not sent, or is it"
    return NotSent(step, phase, epoch, sent.attempt, "too_large", "it is too large", may_be_out=may_be_out)


def _timer(history: History, move: Move) -> TimerFired:
    wake_at = history.saga.wake_at
    if move.kind == "early timer" or wake_at is None:
        history.now += move.after_ms
        return TimerFired(published_at=0)
    history.now = max(history.now, wake_at) + move.after_ms
    return TimerFired(published_at=history.now - 1 if move.kind == "late publication" else 0)


def _pause(history: History, kind: str) -> Event | None:
    """A pause begins, which is no event of the saga's; or all pauses are lifted."""
    if kind == "resume all":
        history.pauses.clear()
        return Released()
    index = history.saga.active_index or 0
    step = history.definition.steps[min(index + 1, len(history.definition.steps) - 1)]
    scope = f"service:{step.service}" if kind == "pause service" else f"type:{history.definition.saga_type}"
    history.pauses[scope] = Hold(scope, "ann", "maintenance", history.now)
    return None


def _act(history: History, verb: EventKind) -> Act:
    index = history.saga.active_index
    name = history.definition.steps[index or 0].name
    arguments = {"step": name, "data": reply_of(history.definition, name), "as": "compensated"}
    return Act(f"act-{len(history.moments)}", verb, "ops", "told to", arguments=arguments)
