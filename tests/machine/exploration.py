"""Every shape a saga can reach: a walk that tries every event on every shape it finds.

A shape leaves out what no rule looks at, so that there are finitely many: ids, times and bodies, the counters of
steps that have ended, and epochs, which are only ever compared with a reply's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.decision import Decision, Result
from kafka_saga.orchestrator.machine.draft import NO_PAUSES, Pauses
from kafka_saga.orchestrator.machine.events import (
    Act,
    Admitted,
    Event,
    NotSent,
    Origin,
    Park,
    Released,
    Replied,
    ReplyUnreadable,
    Restored,
    TimerFired,
)
from kafka_saga.orchestrator.machine.saga import Hold, StepState, service_scope, type_scope
from kafka_saga.orchestrator.machine.saga import Saga as SagaInstance
from kafka_saga.orchestrator.machine.states import EventKind, ParkReason, StepStatus
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.runtime.limits import SAGA_DATA_BYTES_MAX
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.ids import Phase
from tests.machine.worlds import accepted_saga, reply_of

ACT_VERBS = (
    EventKind.CANCEL,
    EventKind.RETRY_NOW,
    EventKind.SKIP,
    EventKind.RESOLVE,
    EventKind.PAUSE,
    EventKind.RESUME,
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One event tried on one saga at one moment, while so much is paused."""

    saga: SagaInstance
    event: Event
    now: int
    pauses: Pauses

    def decide(self, definition: Saga) -> Result:
        return advance(definition, self.saga, self.event, self.now, self.pauses)


def decided(definition: Saga) -> tuple[tuple[Trial, Result], ...]:
    """Every event on every reachable saga, and what became of it."""
    return _walk(definition)[1]


def reachable(definition: Saga) -> tuple[SagaInstance, ...]:
    """One saga of every shape that can be reached."""
    return _walk(definition)[0]


@cache
def _walk(definition: Saga) -> tuple[tuple[SagaInstance, ...], tuple[tuple[Trial, Result], ...]]:
    commands = [f"do {step.name}" for step in definition.steps]
    commands += [f"undo {step.name}" for step in definition.steps if step.compensation is not None]
    poisons = [[], *([command] for command in commands)] if definition.request.__name__ == "Asked" else [[]]
    starts = [accepted_saga(definition, poison=poison) if poison else accepted_saga(definition) for poison in poisons]
    found: dict[Any, SagaInstance] = {shape(start): start for start in starts}
    tried: list[tuple[Trial, Result]] = []
    queue = deque(starts)
    while queue:
        for trial in trials(definition, queue.popleft()):
            result = trial.decide(definition)
            tried.append((trial, result))
            if not isinstance(result, Decision):
                continue
            key = shape(result.saga)
            if key not in found:
                found[key] = result.saga
                queue.append(result.saga)
    return tuple(found.values()), tuple(tried)


def shape(saga: SagaInstance) -> Any:
    """What of a saga decides how it goes on."""
    parked = None if saga.parked is None else (saga.parked.reason, saga.parked.from_state)
    held = None if saga.held is None else saga.held.scope
    return (saga.state, parked, held, tuple(saga.request.get("poison", ())), tuple(map(_step_shape, saga.steps)))


def _step_shape(step: StepState) -> Any:
    waiting = (step.deadline_at is None, step.retry_at is None)
    if step.status is StepStatus.IN_PROGRESS:
        return (step.status, step.attempt, *waiting)
    if step.status is StepStatus.COMPENSATING:
        return (step.status, step.undo_attempt, step.executed, step.late, *waiting)
    return (step.status, step.executed, step.begun, *waiting)


def trials(definition: Saga, saga: SagaInstance) -> Iterator[Trial]:
    """Every kind of event, in every variant that a rule distinguishes."""
    now = saga.updated_at + 1
    for pauses in pauses_of(definition):
        for event in _events(definition, saga):
            if pauses is NO_PAUSES or _may_send(definition, saga, event):
                yield Trial(saga, event, now, pauses)
        yield Trial(saga, TimerFired(published_at=0), now, pauses)
        if saga.wake_at is not None:
            yield Trial(saga, TimerFired(published_at=0), saga.wake_at, pauses)
            yield Trial(saga, TimerFired(published_at=saga.wake_at - 1), saga.wake_at, pauses)


def pauses_of(definition: Saga) -> tuple[Pauses, ...]:
    """Nothing is paused; the service of one step is, the second where there is one; for some, the whole type is."""
    step = definition.steps[min(1, len(definition.steps) - 1)]
    scopes = [service_scope(step.service)]
    if definition.saga_type in ("order", "single"):  # the others have many more shapes, and nothing new to show
        scopes.append(type_scope(definition.saga_type))
    return (NO_PAUSES, *({scope: Hold(scope, "ann", "maintenance", 7)} for scope in scopes))


def _may_send(definition: Saga, saga: SagaInstance, event: Event) -> bool:
    """Whether a pause can make a difference to what the event does."""
    if isinstance(event, Replied):
        active = saga.active_index
        return active is not None and definition.index(event.step) == active and event.body_bytes <= 50
    if isinstance(event, Act):
        return event.expected_state is None and event.arguments.get("data") != "text"
    return isinstance(event, Admitted | Released)


def _events(definition: Saga, saga: SagaInstance) -> Iterator[Event]:
    yield Admitted()
    yield Released()
    yield Restored()
    if definition.saga_type in ("order", "single"):  # a step in doubt more or less doubles the shapes
        yield Restored(tuple(dict.fromkeys(step.service for step in definition.steps[1:])))
    yield Park(ParkReason.DEFINITION_MISSING, "no code has version 1")
    for index, step in enumerate(definition.steps):
        state = saga.steps[index]
        for phase in Phase:
            yield from _replies(definition, step.name, phase, state.command_epoch(phase))
        yield Act("act-1", EventKind.SKIP, "ops", "done by hand", arguments={"step": step.name, "data": {}})
        yield Act("act-1", EventKind.SKIP, "ops", "done by hand", arguments={"step": step.name, "data": "text"})
    yield Replied("no_such_step", Phase.FORWARD, 1, Outcome.SUCCESS)
    yield ReplyUnreadable("no_such_step", Phase.FORWARD, 1, "bad_json", "not JSON")
    for verb in ACT_VERBS:
        yield Act("act-1", verb, "ops", "told to")
        yield Act("act-1", verb, "ops", "told to", expected_state="NONSENSE")
        yield Act("act-1", verb, "ops", "told to", expected_state=saga.state.value, expected_version=saga.version + 1)
    for outcome in ("completed", "compensated", "nonsense"):
        yield Act("act-1", EventKind.RESOLVE, "ops", "settled by phone", arguments={"as": outcome})


def _replies(definition: Saga, name: str, phase: Phase, epoch: int) -> Iterator[Event]:
    body = reply_of(definition, name)
    origin = Origin("some.replies", 3, 17, "reply-1")
    yield Replied(name, phase, epoch, Outcome.SUCCESS, attempt=1, body=body, body_bytes=50, origin=origin)
    yield Replied(name, phase, epoch, Outcome.SUCCESS, effect=Effect.NONE)
    yield Replied(name, phase, epoch, Outcome.SUCCESS, body=body, body_bytes=SAGA_DATA_BYTES_MAX)
    yield Replied(name, phase, epoch, Outcome.FAILURE, reason=Reason.REJECTED, body={"error": "no"})
    yield Replied(name, phase, epoch, Outcome.FAILURE, reason=Reason.FENCE_EXPIRED)
    yield Replied(name, phase, epoch, Outcome.FAILURE, reason=Reason.FENCED)
    yield Replied(name, phase, epoch, Outcome.RETRY, body={"error": "broken"})
    yield Replied(name, phase, epoch, Outcome.RETRY, attempt=19)
    yield Replied(name, phase, epoch + 7, Outcome.SUCCESS)
    yield ReplyUnreadable(name, phase, epoch, "bad_json", "not JSON", origin)
    for attempt in (1, 2):
        yield NotSent(name, phase, epoch, attempt, "too_large", "not sent", may_be_out=attempt == 2)
