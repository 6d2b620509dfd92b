"""A saga in a store that was restored from a backup (R59): what an earlier life did meanwhile is not known here.

Two things follow. The awaited command is sent again as it was, because its reply lies where it is not read any more;
the fence answers. And a step of a service that was *not* restored may have been done by the earlier life although this
store never reached it: it is in doubt, so a saga that fails undoes it too.
"""

from __future__ import annotations

from kafka_saga.orchestrator.machine.decision import Ignored, Result
from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import Restored
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus, SagaState, StepStatus
from kafka_saga.schemas.ids import Phase

PASSED = "before the store was restored the saga may have passed its point of no return"


def on_restored(draft: Draft, event: Restored) -> Result:
    """Doubt what services that are ahead may have done, and ask again for the reply that is awaited."""
    from_state = draft.state if draft.parked is None else draft.parked.from_state
    phase = Phase.COMPENSATE if from_state is SagaState.COMPENSATING else Phase.FORWARD
    doubted = _doubted(draft, event) if phase is Phase.FORWARD else []
    index = draft.before.active_index
    awaits = index is not None and draft.steps[index].retry_at is None and draft.steps[index].sent_at is not None
    if not doubted and not awaits:
        return Ignored(IgnoredReason.ALREADY)
    draft.log(index, LogStatus.ACT, note="the store was restored from a backup")
    for place in doubted:
        draft.step(place, status=StepStatus.IN_DOUBT)
    if index is not None and awaits:
        draft.send_again(index, phase)
    return draft.finish()


def may_have_passed_pivot(draft: Draft, index: int) -> bool:
    """Whether an earlier life may have gone past the pivot, which `index` has not come to here: nothing is undone."""
    pivot = draft.definition.pivot_index
    return pivot is not None and index < pivot and draft.steps[pivot].status is StepStatus.IN_DOUBT


def _doubted(draft: Draft, event: Restored) -> list[int]:
    definition = draft.definition
    return [
        place
        for place, step in enumerate(draft.steps)
        if step.status is StepStatus.PENDING
        and definition.steps[place].service in event.ahead
        and (definition.undoable(place) or place == definition.pivot_index)
    ]
