"""The fence: what a participant decides about a command, from what it remembers of the step (R14). Pure.

One row per (saga type, saga id, step name) is fence and inbox at once. Messages come late, twice and in any order;
whatever the order, an action takes effect at most once, its compensation at most as often, and never an action
after its compensation was answered.

| fence row               | action arrives                            | compensation arrives                        |
|-------------------------|-------------------------------------------|---------------------------------------------|
| none                    | run: success → done, failure → failed     | → cancelled; success, effect none           |
| started (external call) | call again, same idempotency key          | answer retry until the call is settled      |
| done                    | stored reply                              | run: success → compensated; else stays done |
| undoing (external call) | answer retry until the call is settled    | call again, same idempotency key            |
| failed                  | same id: stored reply; higher epoch: run  | → cancelled; effect none                    |
| cancelled, compensated  | failure, reason fenced                    | stored reply, or effect none                |

An external compensation takes `done` to `undoing` before its call; its success makes that `compensated`, its failure
`done` again, and anything else leaves it: whether the other side undid it is not known, and only the same key may ask.
An action that comes meanwhile is told neither "done" nor "it will never be": both may be wrong a moment later.
Before the table: a command with a lower epoch than the row's is stale; one without a row whose saga is older than
rows are kept is expired (R16). Beside it: a compensation that failed keeps the row `done` and its reply is stored;
the same command again is a duplicate and gets that reply, and an operator's retry, which raises the epoch, runs.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import NamedTuple

from kafka_saga.participants.command import FenceKey
from kafka_saga.schemas.ids import CommandId, Phase


class Status(StrEnum):
    """What happened to a step here."""

    STARTED = "started"
    """An external call was begun, and its outcome is not known."""
    DONE = "done"
    UNDOING = "undoing"
    """It was done; the external call that undoes it was begun, and its outcome is not known."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """The tombstone: nothing happened, and nothing ever will."""
    COMPENSATED = "compensated"


class Decision(Enum):
    """What to do with a command."""

    RUN = auto()
    SEND_STORED = auto()
    CANCEL = auto()
    """Leave a tombstone and say that there was nothing to undo."""
    WAIT = auto()
    """Answer `retry`: an external call must be settled first."""
    FENCED = auto()
    STALE = auto()
    EXPIRED = auto()


class FenceRow(NamedTuple):
    """What is remembered of a step. Epochs are 0 where no command of that phase came."""

    key: FenceKey
    status: Status
    action_epoch: int
    compensation_epoch: int
    action_reply: str | None
    compensation_reply: str | None
    call: str | None
    """The command of an external call that is not settled."""
    started_at: int
    updated_at: int

    def epoch(self, phase: Phase) -> int:
        """The highest epoch that took effect on this row."""
        return self.action_epoch if phase is Phase.FORWARD else self.compensation_epoch

    def stored(self, phase: Phase) -> str | None:
        """The reply to send again."""
        return self.action_reply if phase is Phase.FORWARD else self.compensation_reply


TABLE: dict[tuple[Status | None, Phase], Decision] = {
    (None, Phase.FORWARD): Decision.RUN,
    (None, Phase.COMPENSATE): Decision.CANCEL,
    (Status.STARTED, Phase.FORWARD): Decision.RUN,
    (Status.STARTED, Phase.COMPENSATE): Decision.WAIT,
    (Status.DONE, Phase.FORWARD): Decision.SEND_STORED,
    (Status.DONE, Phase.COMPENSATE): Decision.RUN,
    (Status.UNDOING, Phase.FORWARD): Decision.WAIT,
    (Status.UNDOING, Phase.COMPENSATE): Decision.RUN,
    (Status.FAILED, Phase.FORWARD): Decision.RUN,
    (Status.FAILED, Phase.COMPENSATE): Decision.CANCEL,
    (Status.CANCELLED, Phase.FORWARD): Decision.FENCED,
    (Status.CANCELLED, Phase.COMPENSATE): Decision.CANCEL,
    (Status.COMPENSATED, Phase.FORWARD): Decision.FENCED,
    (Status.COMPENSATED, Phase.COMPENSATE): Decision.SEND_STORED,
}

OPEN_CALL = {Phase.FORWARD: Status.STARTED, Phase.COMPENSATE: Status.UNDOING}
"""What a row is while an external call of that phase is open."""

_FAILURE_STORED = {(Status.FAILED, Phase.FORWARD), (Status.DONE, Phase.COMPENSATE)}
"""Where the stored reply is a failure that a higher epoch may overcome."""


def decide(row: FenceRow | None, command: CommandId, *, is_expired: bool) -> Decision:
    """What to do with `command` when `row` is remembered of its step.

    Args:
        row: the step's fence row, or None.
        command: the command's id.
        is_expired: the saga is older than rows are kept, so that no row proves nothing (R16).

    """
    if row is None:
        return Decision.EXPIRED if is_expired else TABLE[None, command.phase]
    if command.epoch < row.epoch(command.phase):
        return Decision.STALE
    if (
        (row.status, command.phase) in _FAILURE_STORED
        and command.epoch == row.epoch(command.phase)
        and row.stored(command.phase) is not None
    ):
        return Decision.SEND_STORED
    return TABLE[row.status, command.phase]
