"""The operator's verbs as rules (R25): each is checked against the state it was meant for, and leaves a log row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine import compensation, forward, restoring
from kafka_saga.orchestrator.machine.decision import Refused, Result, Unchanged
from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.saga import StepState
from kafka_saga.orchestrator.machine.states import LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Effect
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import Phase

_RETRY_IN_VAIN = {
    ParkReason.DATA_LIMIT: "the saga's data is too large, and a retry cannot change that: cancel or resolve it",
    # Whatever made it forget (age, or a clock that was ahead) has pruned what tells a repeat from a first time.
    ParkReason.FENCE_EXPIRED: (
        "the service has forgotten this saga, so nobody can repeat its step safely: look into the service's "
        "books, then skip the step or resolve the saga"
    ),
}
"""Reasons for parking that no retry can mend, and what can."""

_NOWHERE = -1
"""How far a saga has come that has not begun."""

_STANDS_STILL = "the saga is held and sends nothing: resume it first"


def on_cancel_pending(draft: Draft, event: Act) -> Result:
    """Nothing was sent, so the saga ends (R19); unless an earlier life of the store may have done so (R59)."""
    if restoring.may_have_passed_pivot(draft, _NOWHERE):
        return Refused(f"{restoring.PASSED}: it can only go forward, or be resolved")
    _note(draft, event)
    draft.error = _cancelled(event)
    compensation.begin(draft)
    return draft.finish()


def on_cancel_running(draft: Draft, event: Act) -> Result:
    """The step in flight is in doubt; undoing starts at once (R19)."""
    index = draft.before.active_index
    reached = index if index is not None else _last_begun(draft.steps)
    if draft.definition.forward_only(reached):
        return Refused("the saga has reached its point of no return: it can only go forward")
    if restoring.may_have_passed_pivot(draft, reached):
        return Refused(f"{restoring.PASSED}: it can only go forward, or be resolved")
    _note(draft, event)
    draft.error = _cancelled(event)
    if index is not None:
        draft.step(index, status=StepStatus.IN_DOUBT, deadline_at=None, retry_at=None)
    compensation.begin(draft)
    return draft.finish()


def on_cancel_parked(draft: Draft, event: Act) -> Result:
    """As from the state in which it was parked."""
    assert draft.parked is not None
    if draft.parked.from_state is SagaState.COMPENSATING:
        return Unchanged("the saga is being compensated already; it is parked: use retry, skip or resolve")
    draft.unpark()
    return on_cancel_pending(draft, event) if draft.state is SagaState.PENDING else on_cancel_running(draft, event)


def on_retry_active(draft: Draft, event: Act) -> Result:
    """Skip the backoff."""
    if draft.held is not None:
        return Refused(_STANDS_STILL)
    index = draft.before.active_index
    assert index is not None, "an active saga has an active step"
    step = draft.steps[index]
    if _names_another(draft, event, index):
        return _stands_at(draft, index)
    if step.retry_at is None:
        attempt = step.command_attempt(_phase(draft))
        return Refused(f"attempt {attempt} is in flight: wait for its reply or timeout")
    _note(draft, event, index)
    draft.send(index, _phase(draft))
    return draft.finish()


def on_retry_parked(draft: Draft, event: Act) -> Result:
    """Send the parked command again, as a new epoch (R14)."""
    assert draft.parked is not None
    refusal = _RETRY_IN_VAIN.get(draft.parked.reason)
    if refusal is not None:
        return Refused(refusal)
    if draft.held is not None:
        return Refused(_STANDS_STILL)
    draft.unpark()
    index = draft.before.active_index
    phase = _phase(draft)
    target = index if index is not None else next_to_send(draft.definition, draft.steps, phase)
    if _names_another(draft, event, target):
        return _stands_at(draft, target)
    _note(draft, event, index)
    if draft.state is SagaState.PENDING:
        return draft.finish()
    if index is None:  # its command could not be built: nothing was sent, so there is no epoch to leave behind
        draft.send(target, phase)
        return draft.finish()
    step = draft.steps[index]
    if phase is Phase.FORWARD:
        draft.step(index, epoch=step.epoch + 1, attempt=0)
    else:
        draft.step(index, undo_epoch=step.undo_epoch + 1, undo_attempt=0)
    draft.send(index, phase)
    return draft.finish()


def on_skip_active(draft: Draft, event: Act) -> Result:
    """A person did the step, or undid it, by hand: go on as if its reply had come."""
    index = draft.before.active_index
    if index is None:
        return Refused("no step is in flight: use retry, cancel or resolve")
    name = draft.definition.steps[index].name
    if event.arguments.get("step") != name:
        return Refused(f"the step in flight is '{name}': name it to skip it")
    undoing = draft.steps[index].status is StepStatus.COMPENSATING
    reply: Mapping[str, Any] | None = None
    if not undoing:
        try:
            reply = _reply_by_hand(draft, index, event.arguments.get("data"))
        except ContractError as error:
            return Refused(str(error))
    if draft.parked is not None:
        draft.unpark()
    _note(draft, event, index)
    if undoing:
        compensation.confirm(draft, index, Effect.DONE)
        compensation.undo_next(draft)
    else:
        forward.succeed(draft, index, reply, 0 if reply is None else len(encode(reply)))
    return draft.finish()


def _reply_by_hand(draft: Draft, index: int, data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What a person says the step answered with; None where they say nothing and no later step reads it.

    Raises:
        ContractError: it is not a reply of this step.

    """
    name, is_read = draft.definition.steps[index].name, draft.definition.reads_reply(index)
    if not data and not is_read:
        return None
    try:
        return draft.definition.reply_document(index, encode(data or {}))
    except ContractError as error:
        wanted = f"later steps need the reply of '{name}'; give it as data"
        unwanted = f"the data is no reply of '{name}', and no later step needs one"
        raise ContractError(error.cause, f"{wanted if is_read else unwanted}: {error}") from error


def on_resolve_parked(draft: Draft, event: Act) -> Result:
    """A person settled the saga outside; its state is what they say it is."""
    target = event.arguments.get("as")
    if target not in ("completed", "compensated"):
        return Refused("resolve it as `completed` or as `compensated`")
    draft.unpark()
    _note(draft, event)
    index = draft.before.active_index
    completed = target == "completed"
    if index is not None:
        status = StepStatus.SUCCESS if completed else StepStatus.COMPENSATED
        draft.step(index, status=status, executed=True, deadline_at=None, retry_at=None)
    draft.state = SagaState.COMPLETED if completed else SagaState.COMPENSATED
    draft.emit(LifecycleEvent.COMPLETED if completed else LifecycleEvent.COMPENSATED)
    return draft.finish()


def _names_another(draft: Draft, event: Act, index: int) -> bool:
    """Whether a retry names a step, and it is not the one that the saga stands at."""
    return event.arguments.get("step") not in (None, draft.definition.steps[index].name)


def _stands_at(draft: Draft, index: int) -> Refused:
    return Refused(f"the saga stands at step '{draft.definition.steps[index].name}': look again")


def next_to_send(definition: Definition, steps: Sequence[StepState], phase: Phase) -> int:
    """The step that comes next while none is in flight: its command could not be built, or was withheld."""
    index = compensation.next_to_undo(definition, steps) if phase is Phase.COMPENSATE else _last_begun(steps) + 1
    assert index is not None, "a saga with nothing left to undo has ended"
    return index


def _note(draft: Draft, event: Act, index: int | None = None) -> None:
    draft.log(index, LogStatus.ACT, verb=event.verb.value, actor=event.actor)


def _cancelled(event: Act) -> str:
    return f"cancelled by {event.actor}: {event.reason}"[:ERROR_TEXT_LENGTH_MAX]


def _phase(draft: Draft) -> Phase:
    return Phase.COMPENSATE if draft.state is SagaState.COMPENSATING else Phase.FORWARD


def _last_begun(steps: Sequence[StepState]) -> int:
    """The last step that was begun, from 0; -1 where none was."""
    return max((index for index, step in enumerate(steps) if step.begun), default=-1)
