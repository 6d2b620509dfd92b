"""The rules of undoing: last step first, each confirmed before the next (R8, R9, R18, I6)."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine import waiting
from kafka_saga.orchestrator.machine.decision import Ignored, Result
from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import NotSent, Replied, TimerFired
from kafka_saga.orchestrator.machine.saga import StepState
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.schemas.envelope import Effect, Reason
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import Phase

_STANDING = (StepStatus.SUCCESS, StepStatus.IN_DOUBT)


def begin(draft: Draft) -> None:
    """Start undoing. A step in doubt is the last that was begun, so it is undone first (R8)."""
    draft.state = SagaState.COMPENSATING
    draft.emit(LifecycleEvent.COMPENSATING)
    undo_next(draft)


def next_to_undo(definition: Definition, steps: Sequence[StepState]) -> int | None:
    """The last step that still stands; None where nothing is left to undo."""
    for index in reversed(range(len(steps))):
        if steps[index].status in _STANDING and definition.undoable(index):
            return index
    return None


def undo_next(draft: Draft) -> None:
    """Undo the last step that still stands, or end the saga."""
    index = next_to_undo(draft.definition, draft.steps)
    if index is not None:
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
    return waiting.attempt_failed(draft, index, Phase.COMPENSATE, event, _spent)


def on_timer(draft: Draft, event: TimerFired) -> Result:
    """A backoff has ended, or a reply has not come."""
    return waiting.timer_fired(draft, Phase.COMPENSATE, event, _spent)


def on_not_sent(draft: Draft, event: NotSent) -> Result:
    """The compensation cannot be sent: a person must look, as when it is refused (R18, R56)."""
    index = awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    step = draft.steps[index]
    if event.attempt != step.undo_attempt or step.deadline_at is None:
        return Ignored(IgnoredReason.OTHER_ATTEMPT)
    draft.step(index, error=event.message)
    draft.park(ParkReason.COMPENSATION_FAILED, event.message, index)
    return draft.finish()


def awaited(draft: Draft, event: Replied | NotSent) -> int | Ignored:
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


def _spent(draft: Draft, index: int, error: str) -> None:
    """No attempt is left: a person must look (R18)."""
    draft.park(ParkReason.COMPENSATION_FAILED, error, index)
