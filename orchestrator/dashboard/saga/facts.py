"""What stands below a saga's sentence: a few facts, each with its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Saga, record_fields
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.acts.offering import Offer
from kafka_saga.orchestrator.operations.sagas.headline import names_of
from kafka_saga.orchestrator.operations.sagas.telling import Told
from kafka_saga.runtime.wording import duration
from kafka_saga.schemas.codec import encode


@dataclass(frozen=True, slots=True)
class Fact:
    """One of them: a text, a moment, or how long something has gone on since a moment."""

    label: str
    text: str = ""
    moment: int | None = None
    since: int | None = None


def facts(told: Told) -> list[Fact]:
    """The facts of a saga, the most wanted first."""
    saga, line = told.saga, told.line
    record = record_fields(told.definition, saga)
    found = [_how_long(saga), Fact("Began", moment=saga.created_at)]
    if saga.state in TERMINAL:
        found.append(Fact("Ended", moment=saga.updated_at))
    if saga.parked is not None:
        found[1:1] = [Fact("Reason", saga.parked.reason.value), *_stuck(told)]
    if saga.held is not None:
        found.append(Fact("Held", describe(saga.held)))
    found.append(Fact("Executed", _numbers(record["stepsExecuted"])))
    if line.attempts(back=True) or record["stepsCompensated"]:
        found.append(Fact("Undone", _numbers(record["stepsCompensated"])))
    out, back = line.attempts(back=False), line.attempts(back=True)
    if out:
        found.append(Fact("Attempts", f"{out} out, {back} back" if back else str(out)))
    if saga.error is not None:
        found.append(Fact("First error" if saga.parked is not None else "Error", saga.error))
    return found


def _how_long(saga: Saga) -> Fact:
    if saga.state in TERMINAL:
        return Fact("Took", duration(saga.updated_at - saga.created_at))
    if saga.state is SagaState.PARKED:
        return Fact("Parked for", since=saga.updated_at)
    return Fact("Running for", since=saga.created_at)


def _stuck(told: Told) -> list[Fact]:
    saga = told.saga
    index = saga.active_index
    if index is None or saga.parked is None:
        return []
    name = names_of(told.definition, saga, told.line.steps)[index]
    undoing = "undoing " if saga.parked.from_state is SagaState.COMPENSATING else ""
    return [Fact("Stuck at", f"{undoing}{index + 1} {name}")]


def _numbers(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps)) or "none"


@dataclass(frozen=True, slots=True)
class Way:
    """An offer as a form.

    Attributes:
        offer: what it does; of those that differ in nothing but their target the first.
        act_id: the id that its act will have.
        targets: what may be chosen; empty where nothing may.
        data: a reply to begin with where one is needed.

    """

    offer: Offer
    act_id: str
    targets: tuple[str, ...] = ()
    data: str = ""


def ways(told: Told, actor: str) -> list[Way]:
    """The forms of what can be done now: one a verb."""
    newest = told.acts[0][0].act_id if told.acts else ""
    verbs: dict[str, list[Offer]] = {}
    for offer in told.offers:
        verbs.setdefault(offer.verb, []).append(offer)
    return [
        Way(
            offers[0],
            _act_id(told.saga, offers[0], actor, newest),
            tuple(str(offer.arguments["as"]) for offer in offers if "as" in offer.arguments),
            _skeleton(told, offers[0]),
        )
        for offers in verbs.values()
    ]


def _act_id(saga: Saga, offer: Offer, actor: str, newest: str) -> str:
    """The same while nothing has changed, so that a form that is sent twice is one act."""
    parts = [*saga.ref, saga.version, offer.verb, sorted(offer.arguments.items()), actor, newest]
    return f"page-{sha256(encode(parts)).hexdigest()[:24]}"


def _skeleton(told: Told, offer: Offer) -> str:
    """A reply of the step with its fields empty."""
    if not offer.needs_data or told.definition is None:
        return ""
    return reply_skeleton(told.definition, str(offer.arguments["step"]))


def reply_skeleton(definition: Definition, step: str) -> str:
    """The fields that the reply of `step` has."""
    index = definition.index(step)
    assert index is not None, "what is offered is a step of the definition"
    empty: dict[str, Any] = {
        field.alias or name: "" if field.annotation is str else None
        for name, field in definition.steps[index].reply_model.model_fields.items()
    }
    return encode(empty).decode()
