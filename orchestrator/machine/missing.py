"""What can be done to a saga whose definition no code has: park it (R30), and let a person settle it."""

from __future__ import annotations

from dataclasses import replace

from kafka_saga.orchestrator.machine.decision import Decision, EmitEvent, LogEntry, Refused, Result
from kafka_saga.orchestrator.machine.events import Act, Park, to_detail
from kafka_saga.orchestrator.machine.saga import Parked, Saga, held_when_parked
from kafka_saga.orchestrator.machine.states import TERMINAL, EventKind, LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.schemas.events import LifecycleEvent

_RESOLVED = {
    "completed": (SagaState.COMPLETED, StepStatus.SUCCESS, LifecycleEvent.COMPLETED),
    "compensated": (SagaState.COMPENSATED, StepStatus.COMPENSATED, LifecycleEvent.COMPENSATED),
}


def park_without_definition(saga: Saga, now: int) -> Decision:
    """Park `saga` until code that has its version comes back."""
    assert saga.state not in TERMINAL, "a finished saga needs no definition"
    assert saga.state is not SagaState.PARKED, "a parked saga is not parked again"
    detail = f"version {saga.definition_version} of saga '{saga.ref.saga_type}' is not registered"
    parked = replace(
        saga,
        state=SagaState.PARKED,
        steps=tuple(step._replace(deadline_at=None, retry_at=None) for step in saga.steps),
        parked=Parked(ParkReason.DEFINITION_MISSING, saga.state, detail),
        held=held_when_parked(saga.held),
        version=saga.version + 1,
        log_seq=saga.log_seq + 1,
        updated_at=now,
    )
    event = Park(ParkReason.DEFINITION_MISSING, detail)
    entry = LogEntry(parked.log_seq, "", LogStatus.PARKED, 0, now, to_detail(event))
    return Decision(parked, (EmitEvent(LifecycleEvent.PARKED),), (entry,))


def act_without_definition(saga: Saga, act: Act, now: int) -> Result:
    """An operator's act on a saga whose definition no code has: it can be resolved, and nothing else.

    What it does is what the table's rule would do, so that the log folds to the same saga once the code is back.
    """
    if saga.state in TERMINAL:
        return Refused("the saga has ended: nothing can be changed any more")
    mismatch = act.mismatch(saga.state.value, saga.version)
    if mismatch is not None:
        return Refused(mismatch)
    wanted = str(act.arguments.get("as"))
    if act.verb is not EventKind.RESOLVE or saga.state is not SagaState.PARKED or wanted not in _RESOLVED:
        return Refused(
            f"no code has version {saga.definition_version} of saga '{saga.ref.saga_type}': start the orchestrator "
            "with the module that has it (--app), then retry; a parked saga can be resolved without it"
        )
    state, status, told = _RESOLVED[wanted]
    index = saga.active_index
    steps = tuple(
        step._replace(status=status, executed=True, deadline_at=None, retry_at=None) if place == index else step
        for place, step in enumerate(saga.steps)
    )
    resolved = replace(
        saga,
        state=state,
        steps=steps,
        parked=None,
        held=None,
        version=saga.version + 1,
        log_seq=saga.log_seq + 1,
        updated_at=now,
    )
    entry = LogEntry(resolved.log_seq, "", LogStatus.ACT, 0, now, to_detail(act))
    return Decision(resolved, (EmitEvent(told),), (entry,))
