"""Holding a saga, and letting it go on (R25, docs/decisions/0009).

A held saga sends nothing and no timer runs for it, but every reply is taken: nothing needs to be kept aside. Its steps
stay as they are, so what is due when it goes on can be read from them: a wait, a command, or what follows.
"""

from __future__ import annotations

from typing import NamedTuple

from kafka_saga.orchestrator.machine import acts
from kafka_saga.orchestrator.machine.decision import Ignored, Refused, Result, Unchanged
from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import Act, Released
from kafka_saga.orchestrator.machine.saga import OPERATOR, Hold
from kafka_saga.orchestrator.machine.states import ACTIVE, IgnoredReason, LogStatus, SagaState
from kafka_saga.schemas.ids import Phase


class Pause(NamedTuple):
    """A service or a saga type that an operator has paused."""

    hold: Hold
    under_way: bool = True
    """Whether it holds sagas that have begun; a paused type may also only begin none."""


def on_pause(draft: Draft, event: Act) -> Result:
    """The saga sends nothing until it is resumed; replies are taken as always."""
    if draft.held is not None and draft.held.scope == OPERATOR:
        return Unchanged(f"the saga is {describe(draft.held)} already")
    _note(draft, event)
    draft.held = Hold(OPERATOR, event.actor, event.reason, draft.now)
    return draft.finish()


def on_resume(draft: Draft, event: Act) -> Result:
    """The wait in hand begins anew, or the command that is due goes out."""
    if draft.held is None:
        return Unchanged("the saga is not held")
    if draft.held.scope in draft.pauses:
        return Refused(f"the saga is {describe(draft.held)}: resume that instead")
    _note(draft, event)
    _release(draft)
    return draft.finish()


def on_released(draft: Draft, _event: Released) -> Result:
    """Its pause was lifted: as if it were resumed."""
    if draft.held is None or draft.held.scope == OPERATOR or draft.held.scope in draft.pauses:
        return Ignored(IgnoredReason.ALREADY)
    draft.log(None, LogStatus.ACT, note=f"no longer {describe(draft.held)}")
    _release(draft)
    return draft.finish()


def describe(hold: Hold) -> str:
    """Who holds the saga, for people: `held by ann: maintenance`."""
    kind, _, name = hold.scope.partition(":")
    what = {"service": f", service {name} is paused", "type": f", all sagas of type {name} are paused"}.get(kind, "")
    return f"held by {hold.actor}: {hold.reason}{what}"


def _release(draft: Draft) -> None:
    draft.held = None
    if draft.state not in ACTIVE:
        return  # it waits for admission, or for a person
    phase = Phase.COMPENSATE if draft.state is SagaState.COMPENSATING else Phase.FORWARD
    index = draft.before.active_index
    if index is None:
        draft.send(acts.next_to_send(draft.definition, draft.steps, phase), phase)
        return
    if draft.steps[index].deadline_at is None:
        draft.send(index, phase)
        return
    # Its command is in the topic; only the wait for the reply begins anew, and no attempt is spent.
    timeout_ms = draft.definition.steps[index].policy(phase).timeout_ms
    draft.step(index, sent_at=draft.now, deadline_at=draft.now + timeout_ms)


def _note(draft: Draft, event: Act) -> None:
    draft.log(None, LogStatus.ACT, verb=event.verb.value, actor=event.actor)
