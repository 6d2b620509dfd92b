"""What an operator asks for, as the rules are: which verb needs what, for which states, and how an act is signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import TERMINAL, EventKind, SagaState
from kafka_saga.orchestrator.operations.acts.choosing import Wanted
from kafka_saga.orchestrator.operations.sagas.filtering import Narrowing, filter_by
from kafka_saga.runtime.errors import UsageError

NO_REASON = "no reason given"

REACH = {
    EventKind.RETRY_NOW: frozenset({SagaState.PARKED}),
    EventKind.SKIP: frozenset({SagaState.PARKED}),
    EventKind.RESOLVE: frozenset({SagaState.PARKED}),
    EventKind.CANCEL: frozenset({SagaState.PENDING, SagaState.RUNNING}),
    EventKind.PAUSE: frozenset({SagaState.PENDING, SagaState.RUNNING, SagaState.COMPENSATING}),
    EventKind.RESUME: frozenset(SagaState) - TERMINAL,
}
"""The states that a verb is for where nobody says which."""

RESOLUTIONS = ("compensated", "completed")
"""How a saga can have been settled outside."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A verb as somebody asked for it.

    Attributes:
        verb: what.
        actor: who.
        reason: why; it is kept with the act.
        act_id: the same id twice is one act.
        if_state, if_version: refuse unless the saga is so.
        arguments: `step`, `data`, `as`; None is not given.

    """

    verb: EventKind
    actor: str
    act_id: str
    reason: str | None = None
    if_state: SagaState | None = None
    if_version: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def act(self) -> Act:
        """The act, signed.

        Raises:
            UsageError: the verb needs something that was not said.

        """
        check_asked(self.verb, self.reason, self.arguments)
        given = {name: value for name, value in self.arguments.items() if value is not None}
        state = None if self.if_state is None else self.if_state.value
        return Act(
            self.act_id,
            self.verb,
            self.actor,
            NO_REASON if self.reason is None else self.reason,
            state,
            self.if_version,
            given,
        )


def check_asked(verb: EventKind, reason: str | None, arguments: Mapping[str, Any]) -> None:
    """Refuse what nobody could carry out.

    Raises:
        UsageError: the verb needs something that was not said.

    """
    if verb is EventKind.RESOLVE:
        if not reason:
            raise UsageError("say why with a reason (--reason): nothing but your word settles this saga")
        if arguments.get("as") not in RESOLUTIONS:
            raise UsageError(f"say how it was settled: as {' or '.join(RESOLUTIONS)}")
    if verb is EventKind.SKIP and arguments.get("step") is None:
        raise UsageError("say which step was done, or undone, by hand")


def wanted_by(
    verb: EventKind,
    said: Narrowing,
    *,
    now: int,
    saga_type: str | None = None,
    step: str | None = None,
    limit: int | None = None,
) -> Wanted:
    """The sagas that a verb is for, among those that a filter lets through (`sagas.filtering`).

    Raises:
        UsageError: as of `filter_by`.

    """
    by_hand = verb is EventKind.RESUME
    # The cause of a parked saga is looked at where the list is made.
    meant = replace(said, states=said.states or REACH[verb], cause=None, held=said.held or by_hand)
    listed = filter_by(meant, now=now, saga_type=saga_type)
    return Wanted(listed, step, said.cause, limit, held_by_hand=by_hand)
