"""No state of a saga is one that a list cannot show, and a word that nobody knows is shown as it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape

from kafka_saga.orchestrator.dashboard.filters import Asked
from kafka_saga.orchestrator.dashboard.pages.sagas import Row
from kafka_saga.orchestrator.dashboard.rendering import environment
from kafka_saga.orchestrator.dashboard.vocabulary import SAGAS, STEPS
from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.machine.states import LogStatus, SagaState, StepStatus
from kafka_saga.orchestrator.operations.sagas.brief import brief, step_words
from tests.machine.exploration import reachable
from tests.machine.worlds import saga, step

DEFINITIONS = [
    saga("plain", step("one"), step("two")),
    saga("pivot", step("one"), step("two", compensation=None, pivot=True), step("three", compensation=None)),
]


def test_every_status_has_a_shape_of_its_own() -> None:
    assert {state.value for state in SagaState} == set(SAGAS)
    assert {status.value for status in StepStatus} <= set(STEPS)
    assert {status.value for status in LogStatus} - {"ACT"} <= set(STEPS)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.saga_type)
@pytest.mark.parametrize("known", [True, False], ids=["with its definition", "without"])
def test_every_saga_that_can_be_is_a_line(definition: Saga, known: bool) -> None:
    found = reachable(definition)
    assert len(found) > 20
    for one in found:
        text = brief(definition if known else None, one)
        assert text or one.state is SagaState.COMPLETED
        words = step_words(one)
        assert len(words) == len(definition.steps)
        assert set(words) <= set(STEPS)
        assert ("PARKED" in words) == (one.state is SagaState.PARKED and one.active_index is not None)


@settings(deadline=None)  # the first of them compiles the template
@given(state=st.text(min_size=1), steps=st.lists(st.text(min_size=1), max_size=5), text=st.text())
def test_a_word_that_nobody_knows_is_shown_as_text(state: str, steps: list[str], text: str) -> None:
    ref = reachable(DEFINITIONS[0])[0].ref
    row = Row(ref, state, steps, text, began_at=0, took_ms=None, due_at=1)
    html = (
        environment()
        .get_template("sagas/rows.html")
        .render(
            rows=[row],
            first=[],
            may_act=True,
            now=0,
            asked=Asked(),
            after=None,
            cursor=None,
            is_whole=True,
            parked_count=0,
        )
    )
    assert str(escape(state)) in html
    assert str(escape(text)) in html
    assert all(str(escape(word)) in html for word in steps)
