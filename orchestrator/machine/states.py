"""The closed sets: where a saga and its steps can be, what can happen to them, and why something is not wanted."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class SagaState(StrEnum):
    """Where a saga is (design §6)."""

    PENDING = "PENDING"
    """Accepted, not yet admitted (R5, R20)."""
    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    COMPENSATED = "COMPENSATED"
    PARKED = "PARKED"
    """A person must act."""


TERMINAL = frozenset({SagaState.COMPLETED, SagaState.COMPENSATED})
ACTIVE = frozenset({SagaState.RUNNING, SagaState.COMPENSATING})
"""The states that hold a place in the admission window (R20)."""


class StepStatus(StrEnum):
    """Where a step is."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    IN_DOUBT = "IN_DOUBT"
    """It may or may not have happened: it will be undone (R8)."""
    COMPENSATING = "COMPENSATING"
    """Being undone: after a success, or in doubt (then `executed` is false)."""
    COMPENSATED = "COMPENSATED"
    NOTHING_TO_UNDO = "NOTHING_TO_UNDO"


class Word(StrEnum):
    """Words that are written down for people. One of a later version is read as what it is, and none of ours."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown


class LogStatus(Word):
    """What one row of the step log says (R28)."""

    IN_PROGRESS = "IN_PROGRESS"
    RETRY = "RETRY"
    TIMEOUT = "TIMEOUT"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    NOTHING_TO_UNDO = "NOTHING_TO_UNDO"
    LATE_SUCCESS = "LATE_SUCCESS"
    PARKED = "PARKED"
    ACT = "ACT"


class ParkReason(Word):
    """Why a saga waits for a person (R18)."""

    COMPENSATION_FAILED = "compensation_failed"
    PIVOT_UNRESOLVED = "pivot_unresolved"
    DEFINITION_MISSING = "definition_missing"
    DEFINITION_ERROR = "definition_error"
    DATA_LIMIT = "data_limit"
    FENCE_EXPIRED = "fence_expired"
    OPERATOR = "operator"


class EventKind(StrEnum):
    """What can happen to a saga: the columns of the table."""

    ADMITTED = "admitted"
    RELEASED = "released"
    SUCCESS = "success"
    FAILURE = "failure"
    RETRY = "retry"
    UNREADABLE = "unreadable"
    NOT_SENT = "not_sent"
    TIMER = "timer"
    PARK = "park"
    RESTORED = "restored"
    CANCEL = "cancel"
    RETRY_NOW = "retry_now"
    SKIP = "skip"
    RESOLVE = "resolve"
    PAUSE = "pause"
    RESUME = "resume"


VERBS = {
    "retry": EventKind.RETRY_NOW,
    "skip": EventKind.SKIP,
    "cancel": EventKind.CANCEL,
    "resolve": EventKind.RESOLVE,
    "pause": EventKind.PAUSE,
    "resume": EventKind.RESUME,
}
"""What an operator can ask for, by the word people use (R25)."""


class IgnoredReason(StrEnum):
    """Why an event changes nothing. Logged and counted, never an error."""

    FINISHED = "finished"
    """The saga has ended (R11)."""
    DUPLICATE = "duplicate"
    """The step has had its answer."""
    NOT_AWAITED = "not_awaited"
    """No such command is in flight: another step, phase or epoch."""
    OTHER_ATTEMPT = "other_attempt"
    """A `retry` for an attempt that is not the one in flight (R7)."""
    NOT_DUE = "not_due"
    """A timer that was moved or cancelled after it was read."""
    HELD = "held"
    """The saga stands still until it is resumed."""
    NOT_ADMITTED = "not_admitted"
    """Nothing has been sent for this saga yet."""
    ALREADY = "already"
    """It has happened before."""
    LOG_FULL = "log_full"
    """It would only add a row to a log that is long already; the dead letter of an unreadable reply still tells."""
