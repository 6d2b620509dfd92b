"""What happens to a saga. Each event can be written into the log and read back, so the log can be folded (R28)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from kafka_saga.orchestrator.machine.states import EventKind, ParkReason
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.ids import Phase


class Origin(NamedTuple):
    """Which record brought the event."""

    topic: str
    partition: int
    offset: int
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """There is room for the saga (R20)."""

    kind = EventKind.ADMITTED


@dataclass(frozen=True, slots=True)
class Released:
    """The pause that held the saga was lifted, and there is room for it (R20)."""

    kind = EventKind.RELEASED


class Replied(NamedTuple):
    """A participant answered a command. A named tuple, as everything that is made for each message."""

    step: str
    phase: Phase
    epoch: int
    outcome: Outcome
    attempt: int | None = None
    effect: Effect = Effect.DONE
    reason: Reason | None = None
    body: Mapping[str, Any] = MappingProxyType({})
    body_bytes: int = 0
    origin: Origin | None = None

    @property
    def kind(self) -> EventKind:
        return _OUTCOMES[self.outcome]

    @property
    def error(self) -> str:
        """The participant's own words for what went wrong."""
        text = self.body.get("error")
        if isinstance(text, str) and text:
            return text[:ERROR_TEXT_LENGTH_MAX]
        return self.reason.value if self.reason is not None else f"{self.step}: {self.outcome.value}"


_OUTCOMES = {
    Outcome.SUCCESS: EventKind.SUCCESS,
    Outcome.FAILURE: EventKind.FAILURE,
    Outcome.RETRY: EventKind.RETRY,
}


@dataclass(frozen=True, slots=True)
class ReplyUnreadable:
    """A reply's headers were good and its body was not: it is a dead letter, and its attempt goes on (R12)."""

    step: str
    phase: Phase
    epoch: int
    cause: str
    message: str
    origin: Origin | None = None
    kind = EventKind.UNREADABLE


@dataclass(frozen=True, slots=True)
class NotSent:
    """The command in flight will not be sent: its topic does not take it (R56).

    Attributes:
        cause: one word: `too_large`, `unknown_topic` and so on.
        message: the same for people.
        may_be_out: whether a copy of this attempt may be stored although nobody acknowledged one.

    """

    step: str
    phase: Phase
    epoch: int
    attempt: int
    cause: str
    message: str
    may_be_out: bool = False
    kind = EventKind.NOT_SENT


@dataclass(frozen=True, slots=True)
class TimerFired:
    """`wake_at` has passed.

    Attributes:
        published_at: when the command in flight is known to have been published at the latest. After an outage
            this is later than the moment it was decided, and the wait starts then (R21).

    """

    published_at: int
    kind = EventKind.TIMER


@dataclass(frozen=True, slots=True)
class Park:
    """The engine cannot go on with this saga."""

    reason: ParkReason
    detail: str
    kind = EventKind.PARK


@dataclass(frozen=True, slots=True)
class Restored:
    """The store was restored from a backup: what an earlier life did since is not known here (R59).

    Attributes:
        ahead: services whose databases were not restored with it: they may have done more than this store knows of.

    """

    ahead: tuple[str, ...] = ()
    kind = EventKind.RESTORED


@dataclass(frozen=True, slots=True)
class Act:
    """An operator's verb (R25).

    Attributes:
        verb: one of `VERBS`.
        expected_state: the state the operator saw; None accepts any.
        expected_version: the exact version the operator saw; None accepts any.
        arguments: `step` of a retry; `step` and `data` of a skip; `as` of a resolve; `scope`
            (and `underWay`) of a pause or resume that is not about one saga.

    """

    act_id: str
    verb: EventKind
    actor: str
    reason: str
    expected_state: str | None = None
    expected_version: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> EventKind:
        return self.verb

    def mismatch(self, state: str, version: int) -> str | None:
        """Why the act is not for the saga as it is now (R25)."""
        if self.expected_state is not None and self.expected_state != state:
            return f"the saga was {self.expected_state} when you looked and is {state} now: look again"
        if self.expected_version is not None and self.expected_version != version:
            return f"the saga was at version {self.expected_version} and is at {version} now: look again"
        return None


Event = Admitted | Released | Replied | ReplyUnreadable | NotSent | TimerFired | Park | Restored | Act

_EVENTS = (Admitted, Released, Replied, ReplyUnreadable, NotSent, TimerFired, Park, Restored, Act)
_BY_NAME: dict[str, Any] = {kind.__name__: kind for kind in _EVENTS}
_WORDS: dict[str, Any] = {
    "phase": Phase,
    "outcome": Outcome,
    "effect": Effect,
    "verb": EventKind,
}


def to_detail(event: Event) -> dict[str, Any]:
    """The event for the log's `detail`."""
    if isinstance(event, Replied):
        return _replied_detail(event)
    detail: dict[str, Any] = {"event": type(event).__name__}
    for name in event.__dataclass_fields__:
        value = getattr(event, name)
        if value is not None:
            detail[name] = value._asdict() if isinstance(value, Origin) else value
    return detail


def _replied_detail(event: Replied) -> dict[str, Any]:
    """The same for the event that nearly every row holds, without looking at its class."""
    detail = {
        "event": "Replied",
        "step": event.step,
        "phase": event.phase,
        "epoch": event.epoch,
        "outcome": event.outcome,
        "effect": event.effect,
        "body": dict(event.body),
        "body_bytes": event.body_bytes,
    }
    if event.attempt is not None:
        detail["attempt"] = event.attempt
    if event.reason is not None:
        detail["reason"] = event.reason
    if event.origin is not None:
        topic, partition, offset, message_id = event.origin
        detail["origin"] = {"topic": topic, "partition": partition, "offset": offset, "message_id": message_id}
    return detail


def from_detail(detail: Mapping[str, Any]) -> Event:
    """The event that `to_detail` wrote."""
    kind = _BY_NAME[detail["event"]]
    names = Replied._fields if kind is Replied else kind.__dataclass_fields__
    fields = {name: value for name, value in detail.items() if name in names}
    for name, word in _WORDS.items():
        if name in fields:
            fields[name] = word(fields[name])
    if "reason" in fields and kind is not Act:
        fields["reason"] = (ParkReason if kind is Park else Reason)(fields["reason"])
    if "ahead" in fields:
        fields["ahead"] = tuple(fields["ahead"])
    if "origin" in fields:
        fields["origin"] = Origin(**fields["origin"])
    event: Event = kind(**fields)
    return event
