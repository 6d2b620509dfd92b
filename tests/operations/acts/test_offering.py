"""What is offered is what the machine takes: all of it and nothing else, at every moment of random lives."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import Decision
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.missing import act_without_definition
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import TERMINAL, VERBS, SagaState
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.operations.acts.offering import Offer, offers
from kafka_saga.orchestrator.operations.sagas.headline import headline
from tests.machine.histories import History, histories
from tests.machine.worlds import reply_of


def sagas_of(life: History) -> list[Saga]:
    """The saga as it was at every moment; each only once."""
    return [*{moment.before.version: moment.before for moment in life.moments}.values(), life.saga]


def act_of(definition: Definition, offer: Offer) -> Act:
    """The act that its form sends."""
    arguments: dict[str, Any] = dict(offer.arguments)
    if offer.needs_data:
        arguments["data"] = reply_of(definition, arguments["step"])
    return Act("act-1", VERBS[offer.verb], "ann", "told to", arguments=arguments)


@settings(max_examples=8, deadline=None)
@given(histories())
def test_every_verb_offered_is_accepted_and_every_other_changes_nothing(life: History) -> None:
    definition = life.definition
    for saga in sagas_of(life):
        now = saga.updated_at + 1
        found = offers(definition, saga, now, life.pauses)
        for offer in found:
            result = advance(definition, saga, act_of(definition, offer), now, life.pauses)
            assert isinstance(result, Decision), f"{saga.state} {saga.parked}: {offer.verb}: {result}"
        name = None if saga.active_index is None else definition.steps[saga.active_index].name
        tried: dict[str, Any] = {"retry": {}, "cancel": {}, "pause": {}, "resume": {}, "resolve": {"as": "completed"}}
        if name is not None:
            tried["skip"] = {"step": name, "data": reply_of(definition, name)}
        for verb in set(tried) - {offer.verb for offer in found}:
            act = Act("act-1", VERBS[verb], "ann", "told to", arguments=tried[verb])
            result = advance(definition, saga, act, now, life.pauses)
            assert not isinstance(result, Decision), f"{verb} of {saga.state} is accepted, and not offered"


@settings(max_examples=8, deadline=None)
@given(histories())
def test_without_code_only_what_is_accepted_without_code_is_offered(life: History) -> None:
    for saga in sagas_of(life):
        found = offers(None, saga, saga.updated_at + 1)
        assert {offer.verb for offer in found} == ({"resolve"} if saga.state is SagaState.PARKED else set())
        for offer in found:
            result = act_without_definition(saga, act_of(life.definition, offer), saga.updated_at + 1)
            assert isinstance(result, Decision)


@settings(max_examples=8, deadline=None)
@given(histories())
def test_every_saga_has_a_headline_and_an_ended_one_offers_nothing(life: History) -> None:
    names = {word for step in life.definition.steps for word in (step.name, step.service)}
    for saga in sagas_of(life):
        for known in (life.definition, None):
            said = headline(known, saga)
            assert said.first.endswith(".")
            assert "None" not in said.first + said.second
            assert said.first[0].isupper() or said.first.split(" ", 1)[0] in names or known is None
        if saga.state in TERMINAL:
            assert offers(life.definition, saga, saga.updated_at + 1) == []
            assert said.due_at is None
