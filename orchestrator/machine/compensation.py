"""The rules of undoing: last step first, each confirmed before the next (R8, R9, R18, I6)."""

from __future__ import annotations

from orchestrator.machine.backoff import attempts_max, backoff_ms
from orchestrator.machine.decision import Ignored, Result
from orchestrator.machine.draft import Draft
from orchestrator.machine.events import Replied, TimerFired
from orchestrator.machine.states import IgnoredReason, LogStatus, ParkReason, SagaState, StepStatus
from schemas.envelope import Effect, Reason
from schemas.events import LifecycleEvent
from schemas.ids import Phase

_STANDING = (StepStatus.SUCCESS, StepStatus.IN_DOUBT)


def begin(draft: Draft) -> None:
    """Start undoing. A step in doubt is the last that was begun, so it is undone first (R8)."""
    draft.state = SagaState.COMPENSATING
    draft.emit(LifecycleEvent.COMPENSATING)
    undo_next(draft)


def undo_next(draft: Draft) -> None:
    """Undo the last step that still stands, or end the saga."""
    for index in reversed(range(len(draft.steps))):
        if draft.steps[index].status in _STANDING and draft.definition.undoable(index):
            draft.send(index, Phase.COMPENSATE)
            return
    draft.state = SagaState.COMPENSATED
    draft.emit(LifecycleEvent.COMPENSATED)


def on_success(draft: Draft, event: Replied) -> Result:
    """A step is undone, or there was nothing to undo; on to the one before it."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return late_success(draft, event) or index
    confirm(draft, index, event.effect)
    undo_next(draft)
    return draft.finish()


def confirm(draft: Draft, index: int, effect: Effect) -> None:
    """Note how the undoing of a step ended (R9)."""
    step = draft.steps[index]
    if effect is Effect.NONE:
        draft.step(index, status=StepStatus.NOTHING_TO_UNDO, deadline_at=None, retry_at=None)
        draft.log(index, LogStatus.NOTHING_TO_UNDO, step.undo_attempt)
    else:
        draft.step(index, status=StepStatus.COMPENSATED, executed=True, deadline_at=None, retry_at=None)
        draft.log(index, LogStatus.COMPENSATED, step.undo_attempt)


def on_failure(draft: Draft, event: Replied) -> Result:
    """A compensation that is refused will be refused again: a person must look (R18)."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    expired = event.reason is Reason.FENCE_EXPIRED
    draft.step(index, error=event.error)
    draft.park(ParkReason.FENCE_EXPIRED if expired else ParkReason.COMPENSATION_FAILED, event.error, index)
    return draft.finish()


def on_retry(draft: Draft, event: Replied) -> Result:
    """A compensation failed technically: again after a while, by its own policy."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    step = draft.steps[index]
    if step.deadline_at is None or (event.attempt or step.undo_attempt) != step.undo_attempt:
        return Ignored(IgnoredReason.OTHER_ATTEMPT)
    _spend(draft, index, LogStatus.RETRY, event.error)
    return draft.finish()


def on_timer(draft: Draft, event: TimerFired) -> Result:
    """A backoff has ended, or a reply has not come."""
    index = draft.before.active_index
    wake_at = draft.before.wake_at
    if index is None or wake_at is None or wake_at > draft.now:
        return Ignored(IgnoredReason.NOT_DUE)
    step = draft.steps[index]
    if step.deadline_at is None:
        draft.send(index, Phase.COMPENSATE)
        return draft.finish()
    timeout_ms = draft.definition.steps[index].compensation_timeout_ms
    if event.published_at + timeout_ms > draft.now:
        draft.step(index, deadline_at=event.published_at + timeout_ms)
        draft.log(index, LogStatus.COMPENSATING, step.undo_attempt, note="published late: the wait starts again (R21)")
        return draft.finish()
    _spend(draft, index, LogStatus.TIMEOUT, f"no reply within {timeout_ms / 1000:g} s")
    return draft.finish()


def awaited(draft: Draft, event: Replied) -> int | Ignored:
    """The step whose compensation this reply answers, or why it answers none."""
    index = draft.definition.index(event.step)
    if index is None or event.phase is not Phase.COMPENSATE:
        return Ignored(IgnoredReason.NOT_AWAITED)
    step = draft.steps[index]
    if step.status in (StepStatus.COMPENSATED, StepStatus.NOTHING_TO_UNDO):
        return Ignored(IgnoredReason.DUPLICATE)
    if step.status is not StepStatus.COMPENSATING or step.undo_epoch != event.epoch:
        return Ignored(IgnoredReason.NOT_AWAITED)
    return index


def late_success(draft: Draft, event: Replied) -> Result | None:
    """The action succeeded after all while it is being undone: one log row, no change (R11)."""
    index = draft.definition.index(event.step)
    if index is None or event.phase is not Phase.FORWARD:
        return None
    step = draft.steps[index]
    in_doubt = step.status is StepStatus.COMPENSATING and not step.executed
    if not in_doubt or step.late or step.epoch != event.epoch:
        return None
    draft.step(index, late=True)
    draft.log(index, LogStatus.LATE_SUCCESS, event.attempt or step.attempt)
    return draft.finish()


def _spend(draft: Draft, index: int, status: LogStatus, error: str) -> None:
    """One more attempt has failed: wait for the next, or park."""
    step = draft.step(index, error=error)
    retry = draft.definition.steps[index].compensation_retry
    if step.undo_attempt < attempts_max(retry, forward_only=False):
        retry_at = draft.now + backoff_ms(retry, step.undo_attempt)
        draft.step(index, deadline_at=None, retry_at=retry_at)
        draft.log(index, status, step.undo_attempt, error=error, retry_at=retry_at)
    else:
        draft.log(index, status, step.undo_attempt, error=error)
        draft.park(ParkReason.COMPENSATION_FAILED, error, index)
