"""Which verbs will be accepted now: each is tried on the machine, so that nothing is offered that it would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Decision, Result
from kafka_saga.orchestrator.machine.draft import NO_PAUSES, Pauses
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.missing import act_without_definition
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import VERBS, ParkReason, SagaState
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.schemas.ids import Phase

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Offer:
    """A verb that will be accepted, while the saga stays as it is.

    Attributes:
        verb: the word people use.
        title: what its button says.
        meaning: what it does, for people: one or two sentences.
        arguments: what it must be sent with.
        when: what must be true before it helps; empty where nothing must.
        needs_data: it must be given the step's reply, too.
        command: the same on the command line.

    """

    verb: str
    title: str
    meaning: str
    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    when: str = ""
    needs_data: bool = False


def offers(definition: Definition | None, saga: Saga, now: int, pauses: Pauses = NO_PAUSES) -> list[Offer]:
    """What can be done to `saga`, the best first; nothing for one that has ended."""
    index = saga.active_index
    step = None if definition is None or index is None else definition.steps[index].name
    found = [
        _retry(definition, saga, index),
        _resume(saga),
        *([] if step is None else [_skip(definition, saga, index, step)]),
        _cancel(saga),
        *(_resolve(saga, target) for target in _targets(saga)),
        _pause(saga),
    ]
    return [offer for offer in found if _is_accepted(definition, saga, offer, now, pauses)]


def _is_accepted(definition: Definition | None, saga: Saga, offer: Offer, now: int, pauses: Pauses) -> bool:
    """Whether the machine takes it. What needs data cannot be tried without, and is refused for nothing else."""
    if offer.needs_data:
        return saga.active_index is not None
    act = Act("trial", VERBS[offer.verb], "nobody", "trial", arguments=offer.arguments)
    result: Result
    if definition is None:
        result = act_without_definition(saga, act, now)
    else:
        result = advance(definition, saga, act, now, pauses)
    return isinstance(result, Decision)


def _undoing(saga: Saga) -> bool:
    return SagaState.COMPENSATING in (saga.state, None if saga.parked is None else saga.parked.from_state)


def _service(definition: Definition | None, index: int | None) -> str:
    return "its service" if definition is None or index is None else definition.steps[index].service


def _retry(definition: Definition | None, saga: Saga, index: int | None) -> Offer:
    command = f"saga retry {saga.ref.saga_id}"
    if saga.parked is None:
        meaning = "Sends the next attempt now, instead of when the backoff ends."
        return Offer("retry", "Try again now", meaning, command)
    service = _service(definition, index)
    phase = Phase.COMPENSATE if _undoing(saga) else Phase.FORWARD
    sends = "its next command"
    if definition is not None and index is not None and phase in definition.steps[index].phases:
        sends = definition.command_type(definition.steps[index].name, phase)
    when = {
        ParkReason.OPERATOR: "",
        ParkReason.DEFINITION_MISSING: "when the orchestrator has its code",
        ParkReason.DEFINITION_ERROR: "when the definition is mended",
    }.get(saga.parked.reason, f"when {service} is repaired")
    meaning = f"Sends {sends} again with fresh attempts. It has worked only when {service} has answered."
    return Offer("retry", "Retry", meaning, command, when=when)


def _resume(saga: Saga) -> Offer:
    meaning = "Lets it go on: a wait in hand begins anew, or the command that is due goes out."
    return Offer("resume", "Resume", meaning, f"saga resume {saga.ref.saga_id}")


def _skip(definition: Definition | None, saga: Saga, index: int | None, step: str) -> Offer:
    assert definition is not None, "a step without a definition has no name"
    assert index is not None, "only a step in flight can be skipped"
    command = f"saga skip {saga.ref.saga_id} --step {step}"
    arguments = {"step": step}
    if _undoing(saga):
        meaning = f"You undid {step} by hand. It counts as undone, and the saga goes on."
        return Offer("skip", f"Skip undoing {step}", meaning, command, arguments)
    needs_data = definition.reads_reply(index)
    meaning = f"You did {step} by hand. It counts as done, and the saga goes on."
    if needs_data:
        meaning += " Later steps read its reply: give it."
        command += " --data …"
    return Offer("skip", f"Skip {step}", meaning, command, arguments, needs_data=needs_data)


def _cancel(saga: Saga) -> Offer:
    meaning = "Stops it. What was done, and what may have happened, is undone, last first."
    if saga.state is SagaState.PENDING:
        meaning = "Ends it before it begins: nothing was sent."
    return Offer("cancel", "Cancel and undo", meaning, f"saga cancel {saga.ref.saga_id}")


def _targets(saga: Saga) -> tuple[str, ...]:
    """How it may be settled by hand, the likelier first."""
    return ("compensated", "completed") if _undoing(saga) else ("completed", "compensated")


def _resolve(saga: Saga, target: str) -> Offer:
    meaning = f"You settled all of it outside. The saga is closed as {target}, and nothing more is sent."
    command = f"saga resolve {saga.ref.saga_id} --as {target} --reason …"
    return Offer("resolve", f"Resolve as {target}", meaning, command, {"as": target})


def _pause(saga: Saga) -> Offer:
    meaning = "It sends nothing and no timeout runs until it is resumed. Answers still count."
    return Offer("pause", "Pause", meaning, f"saga pause {saga.ref.saga_id}")
