"""Copies of sagas and steps, which are spelled out where speed counts, lose no field and mix none up.

Every field of the original has a value of its own that is not its default. A field that is added one day has one here
by itself, or fails the test until it has.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.machine.saga import Hold, Parked, Saga, StepState
from kafka_saga.orchestrator.machine.states import LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.schemas.ids import Phase, SagaRef
from tests.machine.worlds import plain_saga

NOW = 1_700_000_000_000
STEP = StepState._make(range(100, 100 + len(StepState._fields)))
"""A step made of numbers: a copy does not look at what it takes over."""

SAGA = Saga(
    ref=SagaRef("plain", "p-1"),
    definition_version=2,
    state=SagaState.RUNNING,
    steps=(STEP, StepState(), StepState()),
    request={"id": "p-1"},
    request_bytes=14,
    created_at=NOW - 2,
    updated_at=NOW - 1,
    error="it failed before",
    parked=Parked(ParkReason.OPERATOR, SagaState.RUNNING, "look at this"),
    version=7,
    log_seq=11,
    row=42,
    held=Hold("operator", "ann", "look at this", NOW - 1),
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def whole(saga: Saga) -> dict[str, Any]:
    """All of it: `==` leaves the row out."""
    return {field.name: getattr(saga, field.name) for field in fields(Saga)}


def draft_of(saga: Saga) -> Draft:
    draft = Draft(plain_saga, saga, Admitted(), NOW)
    draft.log(0, LogStatus.IN_PROGRESS, 1)
    draft.log(0, LogStatus.SUCCESS, 1)
    return draft


def test_the_originals_have_no_field_at_its_default_and_no_two_alike() -> None:
    for field in fields(Saga):
        assert field.default_factory is MISSING
        assert getattr(SAGA, field.name) != field.default, f"give SAGA a value of its own for {field.name}"
    assert all(getattr(STEP, name) != default for name, default in StepState._field_defaults.items())
    assert len(set(map(repr, whole(SAGA).values()))) == len(fields(Saga))
    assert len(set(STEP)) == len(StepState._fields)


@pytest.mark.parametrize(
    ("phase", "changes"),
    [
        (Phase.FORWARD, {"status": StepStatus.IN_PROGRESS, "attempt": STEP.attempt + 1}),
        (Phase.COMPENSATE, {"status": StepStatus.COMPENSATING, "undo_attempt": STEP.undo_attempt + 1}),
    ],
)
def test_a_step_whose_command_is_sent_keeps_all_else(phase: Phase, changes: dict[str, Any]) -> None:
    expected = STEP._replace(**changes, sent_at=NOW, deadline_at=NOW + 5, retry_at=None)
    assert STEP.sent(phase, NOW, NOW + 5) == expected


def test_a_step_that_succeeded_keeps_all_else() -> None:
    settled = {"deadline_at": None, "retry_at": None, "error": None}
    expected = STEP._replace(
        status=StepStatus.SUCCESS, executed=True, reply={"receipt": "r-1"}, reply_bytes=17, **settled
    )
    assert STEP.succeeded({"receipt": "r-1"}, 17) == expected


def test_a_saga_at_another_row_keeps_all_else() -> None:
    assert whole(SAGA.at_row(43)) == {**whole(SAGA), "row": 43}


def test_a_decision_without_a_change_is_the_same_saga_one_version_later_I12() -> None:
    after = draft_of(SAGA).finish().saga
    assert whole(after) == whole(replace(SAGA, updated_at=NOW, version=8, log_seq=13))


def test_a_decision_has_all_that_its_draft_changed_and_keeps_the_rest_I12() -> None:
    draft = draft_of(SAGA)
    changed = {
        "state": SagaState.COMPENSATING,
        "error": "it failed again",
        "parked": Parked(ParkReason.DATA_LIMIT, SagaState.COMPENSATING, "too much"),
        "held": Hold("type:order", "bob", "stock-taking", NOW),
    }
    for name, value in changed.items():
        setattr(draft, name, value)
    step = draft.step(1, error="no")

    after = draft.finish().saga

    steps = (STEP, step, StepState())
    assert whole(after) == whole(replace(SAGA, **changed, steps=steps, updated_at=NOW, version=8, log_seq=13))


@pytest.mark.parametrize("end", [SagaState.COMPLETED, SagaState.COMPENSATED])
def test_a_saga_that_ends_is_held_no_longer(end: SagaState) -> None:
    draft = draft_of(SAGA)
    draft.state = end
    assert whole(draft.finish().saga) == whole(
        replace(SAGA, state=end, held=None, updated_at=NOW, version=8, log_seq=13)
    )
