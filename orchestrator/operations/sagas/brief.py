"""A saga in one line of a list: what it waits for, or why it ended, without what changes while one reads."""

from __future__ import annotations

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.backoff import attempts_max
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState, StepStatus
from kafka_saga.schemas.ids import Phase

_PARKED = {
    ParkReason.COMPENSATION_FAILED: "undoing {step} did not work",
    ParkReason.PIVOT_UNRESOLVED: "{step} did not work, and there is no way back",
    ParkReason.FENCE_EXPIRED: "{service} has forgotten this saga",
    ParkReason.DEFINITION_MISSING: "no code has its definition",
    ParkReason.DEFINITION_ERROR: "its next command cannot be built",
    ParkReason.DATA_LIMIT: "it has grown too large",
    ParkReason.OPERATOR: "set aside by somebody",
}
_LATER = "parked by a later version"


def brief(definition: Definition | None, saga: Saga) -> str:
    """What it waits for, or why it ended; nothing where all went well.

    Args:
        definition: the version it is pinned to; None where no code has it.
        saga: as it is now.

    """
    if saga.parked is not None:
        step, service = _standing(definition, saga)
        return f"{_PARKED.get(saga.parked.reason, _LATER).format(step=step, service=service)}: {saga.parked.detail}"
    if saga.held is not None:
        return f"{describe(saga.held)}: {saga.held.reason}"
    match saga.state:
        case SagaState.PENDING:
            return "waits for a place among the running"
        case SagaState.COMPENSATED:
            return saga.error or "cancelled"
        case SagaState.RUNNING | SagaState.COMPENSATING:
            return _waiting(definition, saga)
        case _:
            return ""


def step_words(saga: Saga) -> list[str]:
    """The status of each step, as pictures of it know them: also the one that waits to be tried again, or is parked."""
    active = saga.active_index
    return [_word(saga, index == active, index) for index in range(len(saga.steps))]


def _word(saga: Saga, active: bool, index: int) -> str:
    step = saga.steps[index]
    if active and saga.state is SagaState.PARKED:
        return "PARKED"
    if active and step.retry_at is not None:
        return "RETRY"
    if active and saga.held is not None and step.deadline_at is None:
        return "HELD"
    return StepStatus(step.status).value


def _standing(definition: Definition | None, saga: Saga) -> tuple[str, str]:
    index = saga.active_index
    if definition is None or index is None:
        return "its step" if index is None else f"step {index + 1}", "the service"
    return definition.steps[index].name, definition.steps[index].service


def _waiting(definition: Definition | None, saga: Saga) -> str:
    index = saga.active_index
    assert index is not None, "an active saga has an active step"
    phase = Phase.COMPENSATE if saga.state is SagaState.COMPENSATING else Phase.FORWARD
    step, attempt = saga.steps[index], saga.steps[index].command_attempt(phase)
    if definition is None:
        return f"waits for the reply of step {index + 1}, attempt {attempt}"
    planned = definition.steps[index]
    forward_only = phase is Phase.FORWARD and definition.forward_only(index)
    of = f"{attempt} of {attempts_max(planned.policy(phase).retry, forward_only=forward_only)}"
    doing = planned.name if phase is Phase.FORWARD else f"undoing {planned.name}"
    if step.retry_at is not None:
        return f"attempt {of} of {doing} failed ({step.error}); it is tried again"
    return f"waits for {planned.service} to answer {definition.command_type(planned.name, phase)}, attempt {of}"
