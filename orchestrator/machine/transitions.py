"""The table: for every state and every event, the rule that decides it. One entrance: `advance()`.

A pair whose event is not wanted names the reason. The table is complete (checked at import), so nothing is
decided by accident. The diagram in docs/state-machine.md is drawn from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine import acts, compensation, forward, pausing, restoring
from kafka_saga.orchestrator.machine.decision import Ignored, Refused, Result, Unchanged
from kafka_saga.orchestrator.machine.draft import NO_PAUSES, Draft, Pauses
from kafka_saga.orchestrator.machine.events import Act, Event, Park, Replied, ReplyUnreadable
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import VERBS, EventKind, IgnoredReason, LogStatus, SagaState, StepStatus
from kafka_saga.runtime.limits import LOG_ROWS_MAX
from kafka_saga.schemas.envelope import Reason
from kafka_saga.schemas.ids import Phase

Rule = Callable[[Draft, Any], Result]


def advance(definition: Definition, saga: Saga, event: Event, now: int, pauses: Pauses = NO_PAUSES) -> Result:
    """Decide what `event` means for `saga`.

    Args:
        definition: the version that the saga is pinned to.
        saga: its state, as read.
        event: what happened.
        now: the store's clock, milliseconds (R27).
        pauses: which services and types are paused: a command that they withhold makes the saga a held one.

    Returns:
        A `Decision` to carry out; `Ignored` where the event is late, doubled or foreign; for an operator's act
        `Refused` or `Unchanged` where it cannot or need not be done.

    """
    assert definition.key == (saga.ref.saga_type, saga.definition_version), "a saga keeps its definition"
    entry = TABLE[saga.state, event.kind]
    if isinstance(event, Act):
        mismatch = event.mismatch(saga.state.value, saga.version)
        if mismatch is not None:
            return Refused(mismatch)
    if not callable(entry):
        return Ignored(entry) if isinstance(entry, IgnoredReason) else entry
    return entry(Draft(definition, saga, event, now, pauses), event)


def _on_admitted(draft: Draft, _event: Event) -> Result:
    """There is room: the first step's command goes out."""
    if draft.held is not None:
        return Ignored(IgnoredReason.HELD)
    return forward.on_admitted(draft)


def _on_unreadable(draft: Draft, event: ReplyUnreadable) -> Result:
    """A log row; the attempt runs to its timeout (R12)."""
    index = draft.definition.index(event.step)
    if index is None or draft.before.active_index != index:
        return Ignored(IgnoredReason.NOT_AWAITED)
    step = draft.steps[index]
    undoing = step.status is StepStatus.COMPENSATING
    phase = Phase.COMPENSATE if undoing else Phase.FORWARD
    if (event.phase, event.epoch) != (phase, step.command_epoch(phase)):
        return Ignored(IgnoredReason.NOT_AWAITED)
    if draft.before.log_seq >= LOG_ROWS_MAX:
        return Ignored(IgnoredReason.LOG_FULL)
    draft.log(index, LogStatus.COMPENSATING if undoing else LogStatus.IN_PROGRESS, step.command_attempt(phase))
    return draft.finish()


def _on_park(draft: Draft, event: Park) -> Result:
    """The engine cannot go on with this saga: a person must look (R18, R30)."""
    draft.park(event.reason, event.detail, draft.before.active_index)
    return draft.finish()


def _on_parked_success(draft: Draft, event: Replied) -> Result:
    """The awaited reply came after all: un-park and go on (R11)."""
    assert draft.parked is not None
    undoing = draft.parked.from_state is SagaState.COMPENSATING
    index = (compensation.awaited if undoing else forward.awaited)(draft, event)
    if isinstance(index, Ignored):
        late = compensation.late_success(draft, event) if undoing else None
        return late or index
    draft.unpark()
    return (compensation.on_success if undoing else forward.on_success)(draft, event)


def _on_parked_failure(draft: Draft, event: Replied) -> Result:
    """Only a pivot in doubt gains from a refusal: it proves that nothing happened there (R19)."""
    assert draft.parked is not None
    index = forward.awaited(draft, event)
    if isinstance(index, Ignored):
        return index
    proven = event.reason is not Reason.FENCE_EXPIRED
    if draft.parked.from_state is not SagaState.RUNNING or index != draft.definition.pivot_index or not proven:
        return Ignored(IgnoredReason.ALREADY)
    draft.unpark()
    return forward.on_failure(draft, event)


_FINISHED = IgnoredReason.FINISHED
_ENDED = Refused("the saga has ended: nothing can be changed any more")

_P, _R, _C = SagaState.PENDING, SagaState.RUNNING, SagaState.COMPENSATING
_ACTS = frozenset(VERBS.values())
_DONE, _UNDONE, _PARKED = SagaState.COMPLETED, SagaState.COMPENSATED, SagaState.PARKED

TABLE: dict[tuple[SagaState, EventKind], Rule | IgnoredReason | Refused | Unchanged] = {
    (_P, EventKind.ADMITTED): _on_admitted,
    (_P, EventKind.SUCCESS): IgnoredReason.NOT_ADMITTED,
    (_P, EventKind.FAILURE): IgnoredReason.NOT_ADMITTED,
    (_P, EventKind.RETRY): IgnoredReason.NOT_ADMITTED,
    (_P, EventKind.UNREADABLE): IgnoredReason.NOT_ADMITTED,
    (_P, EventKind.NOT_SENT): IgnoredReason.NOT_ADMITTED,
    (_P, EventKind.TIMER): IgnoredReason.NOT_DUE,
    (_P, EventKind.PARK): _on_park,
    (_P, EventKind.CANCEL): acts.on_cancel_pending,
    (_P, EventKind.RETRY_NOW): Refused("the saga waits for admission: nothing was sent yet"),
    (_P, EventKind.SKIP): Refused("the saga waits for admission: no step is in flight"),
    (_P, EventKind.RESOLVE): Refused("only a parked saga can be resolved; cancel this one instead"),
    (_R, EventKind.ADMITTED): IgnoredReason.ALREADY,
    (_R, EventKind.SUCCESS): forward.on_success,
    (_R, EventKind.FAILURE): forward.on_failure,
    (_R, EventKind.RETRY): forward.on_retry,
    (_R, EventKind.UNREADABLE): _on_unreadable,
    (_R, EventKind.NOT_SENT): forward.on_not_sent,
    (_R, EventKind.TIMER): forward.on_timer,
    (_R, EventKind.PARK): _on_park,
    (_R, EventKind.CANCEL): acts.on_cancel_running,
    (_R, EventKind.RETRY_NOW): acts.on_retry_active,
    (_R, EventKind.SKIP): acts.on_skip_active,
    (_R, EventKind.RESOLVE): Refused("only a parked saga can be resolved; cancel this one instead"),
    (_C, EventKind.ADMITTED): IgnoredReason.ALREADY,
    (_C, EventKind.SUCCESS): compensation.on_success,
    (_C, EventKind.FAILURE): compensation.on_failure,
    (_C, EventKind.RETRY): compensation.on_retry,
    (_C, EventKind.UNREADABLE): _on_unreadable,
    (_C, EventKind.NOT_SENT): compensation.on_not_sent,
    (_C, EventKind.TIMER): compensation.on_timer,
    (_C, EventKind.PARK): _on_park,
    (_C, EventKind.CANCEL): Unchanged("the saga is being compensated already"),
    (_C, EventKind.RETRY_NOW): acts.on_retry_active,
    (_C, EventKind.SKIP): acts.on_skip_active,
    (_C, EventKind.RESOLVE): Refused("only a parked saga can be resolved; this one is being compensated"),
    (_PARKED, EventKind.ADMITTED): IgnoredReason.ALREADY,
    (_PARKED, EventKind.SUCCESS): _on_parked_success,
    (_PARKED, EventKind.FAILURE): _on_parked_failure,
    (_PARKED, EventKind.RETRY): IgnoredReason.ALREADY,
    (_PARKED, EventKind.UNREADABLE): IgnoredReason.ALREADY,
    (_PARKED, EventKind.NOT_SENT): IgnoredReason.ALREADY,
    (_PARKED, EventKind.TIMER): IgnoredReason.NOT_DUE,
    (_PARKED, EventKind.PARK): IgnoredReason.ALREADY,
    (_PARKED, EventKind.CANCEL): acts.on_cancel_parked,
    (_PARKED, EventKind.RETRY_NOW): acts.on_retry_parked,
    (_PARKED, EventKind.SKIP): acts.on_skip_active,
    (_PARKED, EventKind.RESOLVE): acts.on_resolve_parked,
    **{(ended, kind): _FINISHED for ended in (_DONE, _UNDONE) for kind in EventKind if kind not in _ACTS},
    (_DONE, EventKind.CANCEL): Refused("the saga has completed: it cannot be cancelled any more"),
    (_DONE, EventKind.RETRY_NOW): _ENDED,
    (_DONE, EventKind.SKIP): _ENDED,
    (_DONE, EventKind.RESOLVE): _ENDED,
    (_UNDONE, EventKind.CANCEL): Unchanged("the saga has been compensated already"),
    (_UNDONE, EventKind.RETRY_NOW): _ENDED,
    (_UNDONE, EventKind.SKIP): _ENDED,
    (_UNDONE, EventKind.RESOLVE): _ENDED,
    **{(ended, kind): _ENDED for ended in (_DONE, _UNDONE) for kind in (EventKind.PAUSE, EventKind.RESUME)},
    **{(state, EventKind.RESTORED): restoring.on_restored for state in (_P, _R, _C, _PARKED)},
    **{(state, EventKind.PAUSE): pausing.on_pause for state in (_P, _R, _C)},
    **{(state, EventKind.RESUME): pausing.on_resume for state in (_P, _R, _C, _PARKED)},
    **{(state, EventKind.RELEASED): pausing.on_released for state in (_R, _C)},
    **{(state, EventKind.RELEASED): IgnoredReason.ALREADY for state in (_P, _PARKED)},
    (_PARKED, EventKind.PAUSE): Refused("the saga is parked: it stands still until somebody acts"),
}

assert set(TABLE) == {(state, kind) for state in SagaState for kind in EventKind}, "the table must be complete"
