"""Why a saga is parked, and which verbs help: only those that the machine accepts, the best first (R18)."""

from __future__ import annotations

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Parked, Saga
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState

_WHY = {
    ParkReason.COMPENSATION_FAILED: "undoing '{step}' did not work",
    ParkReason.PIVOT_UNRESOLVED: "'{step}' did not work, and from there the saga can only go forward",
    ParkReason.FENCE_EXPIRED: "{service} has forgotten this saga and does not touch it any more",
    ParkReason.DEFINITION_MISSING: "no code had its definition",
    ParkReason.DEFINITION_ERROR: "its next command cannot be built",
    ParkReason.DATA_LIMIT: "it has grown too large",
    ParkReason.OPERATOR: "somebody set it aside",
}
_LATER = "a later version parked it, for a reason that this one does not know"
FIRST_WAYS = {
    ParkReason.COMPENSATION_FAILED: "Repair {service}, then `saga retry {saga_id}`",
    ParkReason.PIVOT_UNRESOLVED: "Repair {service}, then `saga retry {saga_id}`",
    ParkReason.DEFINITION_MISSING: "Start the orchestrator with its module (--app), then `saga retry {saga_id}`",
    ParkReason.DEFINITION_ERROR: "Mend the definition, then `saga retry {saga_id}`",
    ParkReason.OPERATOR: "Go on with `saga retry {saga_id}`",
}
"""Where a retry helps, and after what. It is refused for the other reasons."""


def explain_parked(definition: Definition | None, saga: Saga) -> str:
    """Why a saga is parked, and what can be done about it.

    Args:
        definition: the version it is pinned to; None where no code has it.
        saga: a parked one.

    """
    parked = saga.parked
    assert parked is not None, "a parked saga says why"
    index = saga.active_index
    words = {"saga_id": saga.ref.saga_id, "step": "its step", "service": "the service"}
    if definition is not None and index is not None:
        words |= {"step": definition.steps[index].name, "service": definition.steps[index].service}
    if saga.held is not None:
        words["held"] = describe(saga.held)
    why = _WHY.get(parked.reason, _LATER).format(**words)
    detail = parked.detail.rstrip(".")
    ways = "; or ".join(way.format(**words) for way in _ways(definition, saga, parked))
    return f"It is parked and needs a person ({parked.reason.value}): {why}: {detail}. {ways[0].upper()}{ways[1:]}."


def _ways(definition: Definition | None, saga: Saga, parked: Parked) -> list[str]:
    undoing = parked.from_state is SagaState.COMPENSATING
    cancellable = not undoing and _can_cancel(definition, saga)
    ways = [FIRST_WAYS[parked.reason]] if parked.reason in FIRST_WAYS and saga.held is None else []
    if saga.held is not None:
        ways.append("it is {held}, too: let it go with `saga resume {saga_id}`, and then look again")
    if definition is not None and saga.active_index is not None:
        look = "look into its books, " if parked.reason is ParkReason.FENCE_EXPIRED else ""
        data = "" if undoing or not definition.reads_reply(saga.active_index) else " --data …"
        by_hand = f"{look}{'undo' if undoing else 'do'} it by hand"
        ways.append(f"{by_hand}, then `saga skip {{saga_id}} --step {{step}}{data}`")
    if definition is not None and cancellable:
        ways.append("undo all with `saga cancel {saga_id}`")
    settled = "compensated" if undoing or cancellable else "completed"
    ways.append(f"settle all of it yourself, then `saga resolve {{saga_id}} --as {settled} --reason …`")
    return ways


def _can_cancel(definition: Definition | None, saga: Saga) -> bool:
    """Whether what has begun can still be undone (R19)."""
    begun = [index for index, step in enumerate(saga.steps) if step.begun]
    return definition is None or not begun or not definition.forward_only(begun[-1])
