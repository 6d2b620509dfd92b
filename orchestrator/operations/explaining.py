"""Where a saga stands and what it waits for, in one sentence: who, which attempt, until when, and what then."""

from __future__ import annotations

from orchestrator.definition import Saga as Definition
from orchestrator.machine.saga import Saga
from orchestrator.machine.states import SagaState
from orchestrator.operations.parked import explain_parked
from runtime.clock import rfc3339
from schemas.ids import Phase


def explain(definition: Definition | None, saga: Saga, now: int | None = None) -> str:
    """Where the saga stands; with `now`, how long it still waits."""
    match saga.state:
        case SagaState.PENDING:
            return "It is accepted and waits for a place among the running sagas."
        case SagaState.COMPLETED:
            return f"All {len(saga.steps)} steps are done."
        case SagaState.COMPENSATED:
            return f"It failed ({saga.error or 'cancelled'}) and what was done is undone."
        case SagaState.PARKED:
            return explain_parked(definition, saga)
        case SagaState.RUNNING | SagaState.COMPENSATING:
            return _explain_active(definition, saga, now)


def _explain_active(definition: Definition | None, saga: Saga, now: int | None) -> str:
    index = saga.active_index
    assert index is not None, "an active saga has an active step"
    step = saga.steps[index]
    phase = Phase.COMPENSATE if saga.state is SagaState.COMPENSATING else Phase.FORWARD
    attempt = step.command_attempt(phase)
    why = f" It failed: {saga.error}." if phase is Phase.COMPENSATE and saga.error else ""
    if definition is None:
        return f"It waits for the reply of step {index + 1}, attempt {attempt}, whose definition no code has.{why}"
    planned = definition.steps[index]
    attempts = 1 + planned.policy(phase).retry.retries_max
    doing = f"'{planned.name}'" if phase is Phase.FORWARD else f"undoing '{planned.name}'"
    if step.retry_at is not None:
        again = _moment(step.retry_at, now)
        return (
            f"Attempt {attempt} of {attempts} of {doing} failed ({step.error}); it is tried again {again}, "
            f"or now with `saga retry {saga.ref.saga_id}`.{why}"
        )
    until = "" if step.deadline_at is None else f", until {_moment(step.deadline_at, now)}"
    then = "" if step.deadline_at is None else f"; {_afterwards(definition, index, phase, attempts - attempt)}"
    command = definition.command_type(planned.name, phase)
    return (
        f"It waits for {planned.service} to answer {command} of {doing}, attempt {attempt} of {attempts}{until}{then}."
        f"{why}"
    )


def _afterwards(definition: Definition, index: int, phase: Phase, left: int) -> str:
    """What happens when no reply comes in time."""
    if left > 0 or definition.forward_only(index):
        return "then it is sent again"
    return "then the saga is parked" if phase is Phase.COMPENSATE else "then what was done is undone"


def _moment(at: int, now: int | None) -> str:
    """`in 2.9 s (…T10:42:07.123Z)`, or the moment alone."""
    text = rfc3339(at)
    if now is None:
        return text
    left = (at - now) / 1000
    return f"in {left:.1f} s ({text})" if left >= 0 else f"{text}, {-left:.1f} s ago"
