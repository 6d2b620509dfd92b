"""The rules of going forward, step by step (R7, R8, R19)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_saga.orchestrator.machine import compensation, restoring, waiting
from kafka_saga.orchestrator.machine.decision import Ignored, Result
from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import NotSent, Replied, TimerFired
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.runtime.limits import SAGA_DATA_BYTES_MAX
from kafka_saga.schemas.envelope import Reason
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import Phase

_BEHIND = (
    "the service has seen a later command of this step than this store knows of, as after a restore from a backup; "
    "what became of that one is not known here: retry the step, and its stored reply comes back"
)
"""A stale command proves nothing about the one that overtook it, so it must not compensate (R8)."""


def on_admitted(draft: Draft) -> Result:
    """There is room: the first step's command goes out."""
    draft.state = SagaState.RUNNING
    draft.emit(LifecycleEvent.STARTED)
    draft.send(0, Phase.FORWARD)
    return draft.finish()


def on_success(draft: Draft, event: Replied) -> Result:
    """A step is done: the next one, or the end."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    succeed(draft, index, event.body, event.body_bytes)
    return draft.finish()


def succeed(draft: Draft, index: int, reply: Mapping[str, Any] | None, reply_bytes: int) -> None:
    """Note the success and go on; without a `reply` where a person did the step and nobody reads one."""
    step = draft.steps[index]
    if draft.before.data_bytes + reply_bytes > SAGA_DATA_BYTES_MAX:
        draft.step(index, status=StepStatus.SUCCESS, executed=True, deadline_at=None, retry_at=None)
        draft.log(index, LogStatus.SUCCESS, step.attempt)
        message = f"the saga's data would pass {SAGA_DATA_BYTES_MAX:,} bytes; cancel or resolve it"
        draft.park(ParkReason.DATA_LIMIT, message, index)
        return
    draft.steps[index] = step.succeeded(reply, reply_bytes)
    draft.log(index, LogStatus.SUCCESS, step.attempt)
    draft.emit(LifecycleEvent.STEP_SUCCEEDED)
    if index + 1 < len(draft.steps):
        draft.send(index + 1, Phase.FORWARD)
    else:
        draft.state = SagaState.COMPLETED
        draft.emit(LifecycleEvent.COMPLETED)


def on_failure(draft: Draft, event: Replied) -> Result:
    """A step is refused: nothing happened there, and what happened before it is undone (R8)."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    error = event.error
    if event.reason is Reason.FENCE_EXPIRED:
        draft.step(index, error=error)
        draft.park(ParkReason.FENCE_EXPIRED, error, index)
        return draft.finish()
    if event.reason is Reason.STALE:
        draft.step(index, error=error)
        draft.park(ParkReason.OPERATOR, _BEHIND, index)
        return draft.finish()
    after_pivot = draft.definition.forward_only(index) and index != draft.definition.pivot_index
    if after_pivot:
        draft.step(index, error=error)
        draft.park(ParkReason.PIVOT_UNRESOLVED, error, index)
        return draft.finish()
    if event.reason is Reason.FENCED and draft.definition.undoable(index):
        # It was undone before this store knew of it, as after a restore: its compensation tells what was done.
        _fail(draft, index, error, StepStatus.IN_DOUBT)
    elif restoring.may_have_passed_pivot(draft, index):
        draft.step(index, error=error)
        draft.park(ParkReason.PIVOT_UNRESOLVED, f"{error}; {restoring.PASSED}", index)
        return draft.finish()
    else:
        _fail(draft, index, error, StepStatus.FAILED)
    compensation.begin(draft)
    return draft.finish()


def on_retry(draft: Draft, event: Replied) -> Result:
    """The attempt in flight failed technically (R7)."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    return waiting.attempt_failed(draft, index, Phase.FORWARD, event, _spent)


def on_timer(draft: Draft, event: TimerFired) -> Result:
    """A backoff has ended, or a reply has not come."""
    return waiting.timer_fired(draft, Phase.FORWARD, event, _spent)


def on_not_sent(draft: Draft, event: NotSent) -> Result:
    """The command is not out: nothing happened, unless a copy of it, or of an attempt before it, may be (R8, R56)."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    step = draft.steps[index]
    if event.attempt != step.attempt or step.deadline_at is None:
        return Ignored(IgnoredReason.OTHER_ATTEMPT)
    in_doubt = event.may_be_out or step.attempt > 1 or step.epoch > 1
    at_pivot = index == draft.definition.pivot_index
    if draft.definition.forward_only(index) and (in_doubt or not at_pivot):
        draft.step(index, error=event.message)
        draft.park(ParkReason.PIVOT_UNRESOLVED, event.message, index)
        return draft.finish()
    _fail(draft, index, event.message, StepStatus.IN_DOUBT if in_doubt else StepStatus.FAILED)
    compensation.begin(draft)
    return draft.finish()


def awaited(draft: Draft, event: Replied | NotSent) -> int | Ignored:
    """The step whose action this reply answers, whichever attempt (R7), or why it answers none."""
    index = draft.definition.index(event.step)
    if index is None or event.phase is not Phase.FORWARD:
        return Ignored(IgnoredReason.NOT_AWAITED)
    step = draft.steps[index]
    if step.status in (StepStatus.SUCCESS, StepStatus.FAILED):
        return Ignored(IgnoredReason.DUPLICATE)
    if step.status is not StepStatus.IN_PROGRESS or step.epoch != event.epoch:
        return Ignored(IgnoredReason.NOT_AWAITED)
    return index


def _spent(draft: Draft, index: int, error: str) -> None:
    """No attempt is left: undo, the step in doubt first (R8); or, past the point of no return, park (R19)."""
    if draft.definition.forward_only(index):
        draft.park(ParkReason.PIVOT_UNRESOLVED, error, index)
        return
    if restoring.may_have_passed_pivot(draft, index):
        draft.park(ParkReason.PIVOT_UNRESOLVED, f"{error}; {restoring.PASSED}", index)
        return
    _fail(draft, index, error, StepStatus.IN_DOUBT)
    compensation.begin(draft)


def _fail(draft: Draft, index: int, error: str, status: StepStatus) -> None:
    draft.error = error
    step = draft.step(index, status=status, error=error, deadline_at=None, retry_at=None)
    draft.log(index, LogStatus.FAILED, step.attempt, error=error)
