"""The one transition that needs no definition: parking a saga whose version no code has (R30)."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.machine.decision import Decision, EmitEvent, LogEntry
from orchestrator.machine.events import Park, to_detail
from orchestrator.machine.saga import Parked, Saga
from orchestrator.machine.states import TERMINAL, LogStatus, ParkReason, SagaState
from schemas.events import LifecycleEvent


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
        version=saga.version + 1,
        log_seq=saga.log_seq + 1,
        updated_at=now,
    )
    event = Park(ParkReason.DEFINITION_MISSING, detail)
    entry = LogEntry(parked.log_seq, "", LogStatus.PARKED, 0, now, to_detail(event))
    return Decision(parked, (EmitEvent(LifecycleEvent.PARKED),), (entry,))
