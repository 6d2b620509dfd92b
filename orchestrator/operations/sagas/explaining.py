"""Where a saga stands and what it waits for, in one sentence: who, which attempt, until when, and what then."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.acts import next_to_send
from kafka_saga.orchestrator.machine.backoff import attempts_max
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold, Saga, service_scope, type_scope
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.sagas.parked import explain_parked
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.schemas.ids import Phase


def explain(
    definition: Definition | None,
    saga: Saga,
    now: int | None = None,
    pauses: Mapping[str, Pause] = MappingProxyType({}),
) -> str:
    """Where the saga stands; with `now`, how long it still waits; with `pauses`, what of it is paused."""
    if saga.held is not None and saga.state is not SagaState.PARKED:
        return _explain_held(definition, saga, saga.held)
    match saga.state:
        case SagaState.PENDING:
            return _explain_pending(pauses.get(type_scope(saga.ref.saga_type)))
        case SagaState.COMPLETED:
            return f"All {len(saga.steps)} steps are done."
        case SagaState.COMPENSATED:
            return f"It failed ({saga.error or 'cancelled'}) and what was done is undone."
        case SagaState.PARKED:
            return explain_parked(definition, saga)
        case SagaState.RUNNING | SagaState.COMPENSATING:
            return _explain_active(definition, saga, now) + _explain_pause(definition, saga, pauses)


def _explain_pending(paused: Pause | None) -> str:
    if paused is not None:
        return f"It is accepted and does not begin: its type is paused {_by(paused.hold)}."
    return "It is accepted and waits for a place among the running sagas."


def _explain_held(definition: Definition | None, saga: Saga, hold: Hold) -> str:
    """Why a saga stands still, what still counts, what goes out first, and how it goes on."""
    kind, _, name = hold.scope.partition(":")
    who = f"It is held {_by(hold)}"
    what = {"service": f", who paused service {name}", "type": f", who paused all sagas of type {name}"}.get(kind, "")
    resume = f"saga resume --{kind} {name}" if name else f"saga resume {saga.ref.saga_id}"
    return f"{who}{what}: nothing is sent and no timeout runs.{_due(definition, saga)} It goes on with `{resume}`."


def _due(definition: Definition | None, saga: Saga) -> str:
    """What a held saga waits for, or what it sends first when it goes on."""
    if saga.state is SagaState.PENDING or definition is None:
        return ""
    undoing = saga.state is SagaState.COMPENSATING
    phase = Phase.COMPENSATE if undoing else Phase.FORWARD
    index = saga.active_index
    if index is not None and saga.steps[index].deadline_at is not None:
        planned = definition.steps[index]
        command = definition.command_type(planned.name, phase)
        return f" The answer of {planned.service} to {command} still counts."
    if index is None:
        index = next_to_send(definition, saga.steps, phase)
    planned = definition.steps[index]
    return f" The next command is {definition.command_type(planned.name, phase)} to {planned.service}."


def _explain_pause(definition: Definition | None, saga: Saga, pauses: Mapping[str, Pause]) -> str:
    """What a pause changes for a saga that is not held yet."""
    index = saga.active_index
    service = None if definition is None or index is None else definition.steps[index].service
    of_service = None if service is None else pauses.get(service_scope(service))
    of_type = pauses.get(type_scope(saga.ref.saga_type))
    if of_service is not None:
        return f" Service {service} is paused {_by(of_service.hold)}: its silence does not count."
    if of_type is not None and of_type.under_way:
        return f" Its type is paused {_by(of_type.hold)}: it stops before its next command."
    return ""


def _by(hold: Hold) -> str:
    return f"by {hold.actor} since {rfc3339(hold.at)} ({hold.reason})"


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
    forward_only = phase is Phase.FORWARD and definition.forward_only(index)
    attempts = attempts_max(planned.policy(phase).retry, forward_only=forward_only)
    doing = f"'{planned.name}'" if phase is Phase.FORWARD else f"undoing '{planned.name}'"
    if step.retry_at is not None:
        again = _moment(step.retry_at, now)
        return (
            f"Attempt {attempt} of {attempts} of {doing} failed ({step.error}); it is tried again at {again}, "
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
    if left > 0:
        return "then it is sent again"
    parks = phase is Phase.COMPENSATE or definition.forward_only(index)
    return "then the saga is parked" if parks else "then what was done is undone"


def _moment(at: int, now: int | None) -> str:
    """`…T10:42:07.123Z (in 2.9 s)`, or the moment alone."""
    text = rfc3339(at)
    if now is None:
        return text
    left = (at - now) / 1000
    return f"{text} (in {left:.1f} s)" if left >= 0 else f"{text} ({-left:.1f} s ago)"
