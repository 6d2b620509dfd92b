"""The sentence above a saga's page, and the one below it: what is left behind, and what happens next.

`explain` says the same to a terminal, with the commands that help; a page has buttons for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.backoff import attempts_max
from kafka_saga.orchestrator.machine.pausing import Pause, describe
from kafka_saga.orchestrator.machine.saga import Saga, StepState, service_scope, type_scope
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState, StepStatus
from kafka_saga.runtime.wording import counted, duration, plain
from kafka_saga.schemas.ids import Phase

Pauses = Mapping[str, Pause]
NO_PAUSES: Pauses = MappingProxyType({})

ERROR_SHOWN_MAX = 160
"""Of an error in a headline; the whole of it is among the facts below."""

_STANDING = frozenset({StepStatus.SUCCESS, StepStatus.COMPENSATING, StepStatus.IN_DOUBT, StepStatus.IN_PROGRESS})
"""Steps that have an effect, or may have one."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What a person reads first.

    Attributes:
        first: what the saga waits for, or why it stopped, and what helps.
        second: what is left behind, and what happens next.
        due_at: when something happens by itself; None where nothing does.

    """

    first: str
    second: str
    due_at: int | None = None


def headline(definition: Definition | None, saga: Saga, pauses: Pauses = NO_PAUSES) -> Headline:
    """What to say of `saga` as it is now."""
    match saga.state:
        case SagaState.PENDING:
            return Headline(_pending(saga, pauses), "Nothing has been sent, so nothing can be left behind.")
        case SagaState.COMPLETED:
            return Headline(_completed(definition, saga), "Nothing is left to do.")
        case SagaState.COMPENSATED:
            return Headline(_compensated(definition, saga), _after_undoing(definition, saga))
        case SagaState.PARKED:
            return Headline(_parked(definition, saga), _while_parked(definition, saga))
        case SagaState.RUNNING | SagaState.COMPENSATING:
            return _active(definition, saga, pauses)


def _pending(saga: Saga, pauses: Pauses) -> str:
    paused = pauses.get(type_scope(saga.ref.saga_type))
    if saga.held is not None:
        return f"It is {describe(saga.held)}. It begins when it is resumed."
    if paused is not None:
        return f"It is accepted, and does not begin: its type is paused by {paused.hold.actor} ({paused.hold.reason})."
    return "It is accepted, and waits for a place among the running sagas."


def _completed(definition: Definition | None, saga: Saga) -> str:
    done = [step.status is StepStatus.SUCCESS for step in saga.steps]
    took = duration(saga.updated_at - saga.created_at)
    if all(done):
        return f"{_all_steps(len(done))} done in {took}."
    open_steps = [name for name, is_done in zip(names_of(definition, saga), done, strict=True) if not is_done]
    verb = "was" if len(open_steps) == 1 else "were"
    return f"It was taken as completed by a person; {listed(open_steps)} {verb} not done by it."


def _all_steps(number: int) -> str:
    return {1: "Its one step is", 2: "Both steps are"}.get(number, f"All {number} steps are")


def _compensated(definition: Definition | None, saga: Saga) -> str:
    names = names_of(definition, saga)
    undone = [name for name, step in zip(names, saga.steps, strict=True) if step.status is StepStatus.COMPENSATED][::-1]
    why = failure(definition, saga)
    if not undone:
        return f"{why}; there was nothing to undo."
    return f"{why}, so {listed(undone)} {'was' if len(undone) == 1 else 'were'} undone."


def failure(definition: Definition | None, saga: Saga) -> str:
    """Why the saga turned back: `create_order failed 4 times (Database connection failed)`."""
    names = names_of(definition, saga)
    error = _short(saga.error or "")
    for name, step in zip(names, saga.steps, strict=True):
        if step.error is None or step.error != saga.error:
            continue
        if step.status is StepStatus.FAILED:
            return f"{name} was refused ({error})"
        times = f"failed {step.attempt} times" if step.attempt > 1 else "failed"
        return f"{name} {times} ({error})"
    if error.startswith("cancelled by "):
        return f"It was {error}"
    return f"It failed ({error})" if error else "It was turned back"


def _after_undoing(definition: Definition | None, saga: Saga) -> str:
    left = _left_behind(definition, saga)
    kept = f"{_sentence(left)} " if left else "Nothing is left behind and nothing is left to do. "
    return f"{kept}Another try needs another id."


def _parked(definition: Definition | None, saga: Saga) -> str:
    parked = saga.parked
    assert parked is not None, "a parked saga says why"
    index = saga.active_index
    name, service = _named(definition, index)
    undoing = parked.from_state is SagaState.COMPENSATING
    words = {"name": name, "service": service, "detail": _short(parked.detail.rstrip("."))}
    return _WHY_PARKED.get(parked.reason, _LATER).format(**words, doing="undo" if undoing else "do")


_LATER = "A later version parked it, for a reason that this one does not know ({detail})."
_WHY_PARKED = {
    ParkReason.COMPENSATION_FAILED: "{name} could not be undone ({detail}). Repair {service}, then retry.",
    ParkReason.PIVOT_UNRESOLVED: (
        "{name} did not work ({detail}), and from there it can only go forward. Repair {service}, then retry."
    ),
    ParkReason.FENCE_EXPIRED: (
        "{service} has forgotten this saga. Look into its books, {doing} {name} by hand, then skip it."
    ),
    ParkReason.DEFINITION_MISSING: (
        "No code had its definition ({detail}). Start the orchestrator with its module, then retry."
    ),
    ParkReason.DEFINITION_ERROR: "Its next command cannot be built ({detail}). Mend the definition, then retry.",
    ParkReason.DATA_LIMIT: "It has grown too large ({detail}). A retry cannot help: settle it by hand.",
    ParkReason.OPERATOR: "It was set aside ({detail}). Go on with a retry.",
}


def _while_parked(definition: Definition | None, saga: Saga) -> str:
    left = _left_behind(definition, saga)
    refused = [
        name
        for name, step in zip(names_of(definition, saga), saga.steps, strict=True)
        if step.status is StepStatus.FAILED
    ]
    told = [_sentence(left)] if left else ["Nothing is left behind."]
    told += [f"{listed(refused)} was refused, so nothing happened there."] if refused else []
    told.append("Nothing more is sent until somebody acts; a late answer still counts.")
    if saga.held is not None:
        told.append(f"It is {describe(saga.held)}, too: resume it first.")
    return " ".join(told)


def _active(definition: Definition | None, saga: Saga, pauses: Pauses) -> Headline:
    index = saga.active_index
    undoing = saga.state is SagaState.COMPENSATING
    phase = Phase.COMPENSATE if undoing else Phase.FORWARD
    why = f"{failure(definition, saga)}, so what was done is being undone; " if undoing else ""
    after = _still_to_undo(definition, saga, index) if undoing else _still_to_do(definition, saga)
    if saga.held is not None:
        second = f"Nothing is sent and no timeout runs; answers still count. {after}"
        return Headline(_joined(why, f"it is {describe(saga.held)}."), second.strip())
    if index is None:
        return Headline("It is between two commands.", after)
    name, service = _named(definition, index)
    step = saga.steps[index]
    attempt = step.command_attempt(phase)
    doing = f"undo {name}" if undoing else f"do {name}"
    if definition is None:
        first = f"it waits for the answer of step {index + 1}, attempt {attempt}; no code here has its definition."
        return Headline(_joined(why, first), after, step.wake_at)
    planned = definition.steps[index]
    most = attempts_max(planned.policy(phase).retry, forward_only=not undoing and definition.forward_only(index))
    paused = pauses.get(service_scope(service))
    silent = f" {service} is paused by {paused.hold.actor}: its silence does not count." if paused else ""
    if step.retry_at is not None:
        first = f"attempt {attempt} of {most} to {doing} failed ({_short(step.error or '')}); it is tried again."
        return Headline(_joined(why, first), f"Nothing needs to be done. {after}{silent}".strip(), step.retry_at)
    command = definition.command_type(planned.name, phase)
    first = f"it waits for {service} to answer {command}."
    then = _then(definition, index, phase, most - attempt)
    second = f"Attempt {attempt} of {most}; without an answer in time {then}. {after}{silent}"
    return Headline(_joined(why, first), second.strip(), step.deadline_at)


def _then(definition: Definition, index: int, phase: Phase, left: int) -> str:
    if left > 0:
        return "it is sent again"
    parks = phase is Phase.COMPENSATE or definition.forward_only(index)
    return "the saga is parked" if parks else "what was done is undone"


def _still_to_do(definition: Definition | None, saga: Saga) -> str:
    if definition is None:
        return ""
    rest = [name for name, step in zip(definition.step_names, saga.steps, strict=True) if not step.begun]
    return f"Then {listed(rest)} {'follows' if len(rest) == 1 else 'follow'}." if rest else "It is the last step."


def _still_to_undo(definition: Definition | None, saga: Saga, index: int | None) -> str:
    if definition is None:
        return ""
    rest = [
        definition.steps[place].name
        for place, step in enumerate(saga.steps)
        if place != index and step.status in _STANDING and definition.undoable(place)
    ][::-1]
    return f"Then {listed(rest)} {'is' if len(rest) == 1 else 'are'} undone." if rest else "It is the last one."


def _left_behind(definition: Definition | None, saga: Saga) -> list[str]:
    """Steps whose effects stand, each with what was answered of it."""
    left = []
    for place, (name, step) in enumerate(zip(names_of(definition, saga), saga.steps, strict=True)):
        undoable = definition is None or definition.undoable(place)
        if step.status in _STANDING and (undoable or saga.state is SagaState.PARKED):
            left.append(f"{name}{_known(step)}")
    return left


def _known(step: StepState) -> str:
    """The first short field of its reply: what to look for in the service's books."""
    if not step.executed:
        return " (in doubt)"
    for field, value in (step.reply or {}).items():
        if isinstance(value, str | int) and 0 < len(str(value)) <= 40:
            return f" ({field} {value})"
    return ""


def _sentence(left: Sequence[str]) -> str:
    number = counted(len(left), "step")
    return f"{number[0].upper()}{number[1:]} {'is' if len(left) == 1 else 'are'} left behind: {listed(left)}."


def _named(definition: Definition | None, index: int | None) -> tuple[str, str]:
    if index is None:
        return "its next step", "the service"
    if definition is None:
        return f"step {index + 1}", "the service"
    return definition.steps[index].name, definition.steps[index].service


def names_of(definition: Definition | None, saga: Saga, seen: Sequence[str] = ()) -> list[str]:
    """The steps' names; without a definition those that the log has seen, in that order, then numbers."""
    if definition is not None and len(definition.steps) == len(saga.steps):
        return list(definition.step_names)
    return [*seen[: len(saga.steps)], *(f"step {number}" for number in range(len(seen) + 1, len(saga.steps) + 1))]


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _joined(why: str, what: str) -> str:
    """One sentence; `what` begins it where there is no `why`."""
    return f"{why}{what}" if why else f"{what[0].upper()}{what[1:]}"


def _short(text: str) -> str:
    """An error as far as a headline has room."""
    line = plain(text)
    return line if len(line) <= ERROR_SHOWN_MAX else f"{line[: ERROR_SHOWN_MAX - 1].rstrip()}…"
