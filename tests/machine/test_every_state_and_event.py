"""Every event on every reachable saga: a legal edge or a named refusal, never an exception and never an accident."""

from __future__ import annotations

from collections import defaultdict

import pytest

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.diagram import EDGES
from kafka_saga.orchestrator.machine.decision import Decision, Ignored, LogEntry, Refused, SendCommand, Unchanged
from kafka_saga.orchestrator.machine.events import Act, Released, Replied, from_detail
from kafka_saga.orchestrator.machine.saga import current_step, record, status_sentence
from kafka_saga.orchestrator.machine.states import ACTIVE, TERMINAL, EventKind, IgnoredReason, SagaState
from kafka_saga.orchestrator.machine.transitions import TABLE, advance
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.ids import Phase
from tests.machine.exploration import ACT_VERBS, decided, reachable
from tests.machine.worlds import ALL

each_definition = pytest.mark.parametrize("definition", ALL, ids=lambda definition: definition.saga_type)


def test_the_walk_reaches_every_state_with_every_event() -> None:
    tried = {(trial.saga.state, trial.event.kind) for definition in ALL for trial, _result in decided(definition)}

    assert tried == set(TABLE)


@each_definition
def test_every_event_on_every_saga_is_decided_or_refused_by_name(definition: Saga) -> None:
    for trial, result in decided(definition):
        if trial.event.kind in ACT_VERBS:
            assert isinstance(result, Decision | Refused | Unchanged), trial
        else:
            assert isinstance(result, Decision | Ignored), trial


def test_exactly_the_documented_edges_are_taken() -> None:
    taken: dict[tuple[SagaState, EventKind], set[SagaState]] = defaultdict(set)
    for definition in ALL:
        for trial, result in decided(definition):
            if isinstance(result, Decision):
                taken[trial.saga.state, trial.event.kind].add(result.saga.state)

    assert {pair: frozenset(targets) for pair, targets in taken.items()} == EDGES


@each_definition
def test_a_transition_raises_the_version_by_one_and_logs_densely_I12(definition: Saga) -> None:
    for trial, result in decided(definition):
        if not isinstance(result, Decision):
            continue

        assert result.saga.version == trial.saga.version + 1, trial
        assert result.saga.updated_at == trial.now, trial
        assert result.saga.log_seq == trial.saga.log_seq + len(result.log), trial
        assert [row.seq for row in result.log] == list(range(trial.saga.log_seq + 1, result.saga.log_seq + 1)), trial


@each_definition
def test_the_first_log_row_of_a_transition_holds_its_event_and_no_other_does_R28(definition: Saga) -> None:
    for trial, result in decided(definition):
        if not isinstance(result, Decision):
            continue

        assert from_detail(as_stored(result.log[0])) == trial.event, trial
        assert [row for row in result.log[1:] if "event" in row.detail] == [], trial


@each_definition
def test_a_finished_saga_is_never_changed_again_I12(definition: Saga) -> None:
    answers = [result for trial, result in decided(definition) if trial.saga.state in TERMINAL]

    assert answers
    assert [result for result in answers if isinstance(result, Decision)] == []


@each_definition
def test_a_saga_waits_for_the_timer_exactly_while_it_is_active(definition: Saga) -> None:
    for saga in reachable(definition):
        waiting = [step for step in saga.steps if step.wake_at is not None]

        assert (saga.wake_at is not None) == (saga.state in ACTIVE and saga.held is None), saga
        assert [step for step in waiting if step.deadline_at is not None and step.retry_at is not None] == [], saga
        assert len(waiting) <= (1 if saga.state in ACTIVE else 0), saga
        assert len(waiting) == 1 or saga.state not in ACTIVE or saga.held is not None, saga
        assert (saga.parked is not None) == (saga.state is SagaState.PARKED), saga


@each_definition
def test_the_timer_always_moves_a_saga_that_waits_for_it(definition: Saga) -> None:
    for trial, result in decided(definition):
        due = trial.saga.wake_at is not None and trial.saga.wake_at <= trial.now
        if trial.event.kind is EventKind.TIMER and due:
            assert isinstance(result, Decision), trial
            assert result.saga.wake_at is None or result.saga.wake_at > trial.now, trial


@each_definition
def test_a_held_saga_sends_nothing_but_to_another_service_than_it_is_held_for(definition: Saga) -> None:
    held = 0
    for trial, result in decided(definition):
        before = trial.saga.held
        if before is None or trial.event.kind in (EventKind.RESUME, EventKind.RELEASED, EventKind.RESTORED):
            continue
        held += 1
        for effect in getattr(result, "effects", ()):
            if isinstance(effect, SendCommand):
                assert before.scope.startswith("service:"), trial
                assert before.scope != f"service:{effect.service}", trial
    assert held, "the walk must have come to sagas that are held"


@each_definition
def test_nothing_is_sent_to_what_is_paused(definition: Saga) -> None:
    for trial, result in decided(definition):
        for effect in getattr(result, "effects", ()):
            if isinstance(effect, SendCommand):
                assert f"service:{effect.service}" not in trial.pauses, trial
                assert f"type:{definition.saga_type}" not in trial.pauses, trial


@each_definition
def test_no_attempt_is_spent_by_the_silence_of_what_is_paused(definition: Saga) -> None:
    for trial, result in decided(definition):
        index = trial.saga.active_index
        if trial.event.kind is not EventKind.TIMER or index is None or not isinstance(result, Decision):
            continue
        if trial.pauses.keys() & {f"service:{definition.steps[index].service}", f"type:{definition.saga_type}"}:
            assert result.saga.steps == trial.saga.steps, trial
            assert result.saga.held is not None, trial


@each_definition
def test_every_saga_that_is_held_goes_on_when_it_is_resumed(definition: Saga) -> None:
    for saga in reachable(definition):
        if saga.held is None:
            continue
        for event in (Act("act-9", EventKind.RESUME, "ann", "done"), Released()):
            result = advance(definition, saga, event, saga.updated_at + 1)
            if isinstance(event, Released) and saga.held.scope == "operator":
                assert result == Ignored(IgnoredReason.ALREADY), saga
                continue
            assert isinstance(result, Decision), saga
            assert result.saga.held is None, saga
            assert (result.saga.wake_at is not None) == (result.saga.state in ACTIVE), saga


@each_definition
def test_a_saga_is_held_only_until_it_ends(definition: Saga) -> None:
    assert [saga for saga in reachable(definition) if saga.held is not None and saga.state in TERMINAL] == []


@each_definition
def test_a_transition_sends_at_most_one_command_and_it_is_the_awaited_one(definition: Saga) -> None:
    for trial, result in decided(definition):
        sent = [effect for effect in getattr(result, "effects", ()) if isinstance(effect, SendCommand)]
        if not sent:
            continue
        assert isinstance(result, Decision)
        index = result.saga.active_index

        assert len(sent) == 1, trial
        assert index is not None, trial
        assert index == definition.index(sent[0].command_id.step), trial
        assert result.saga.steps[index].sent_at == trial.now, trial


@each_definition
def test_a_reply_that_comes_again_changes_nothing_I16(definition: Saga) -> None:
    for trial, result in decided(definition):
        if isinstance(trial.event, Replied) and isinstance(result, Decision):
            assert isinstance(advance(definition, result.saga, trial.event, trial.now, trial.pauses), Ignored), trial


@each_definition
def test_what_cannot_be_undone_is_never_sent_a_compensation_R19(definition: Saga) -> None:
    for trial, result in decided(definition):
        for effect in getattr(result, "effects", ()):
            if isinstance(effect, SendCommand) and effect.command_id.phase is Phase.COMPENSATE:
                index = definition.index(effect.command_id.step)
                assert index is not None
                assert definition.undoable(index), trial
                assert not definition.forward_only(index), trial


@each_definition
def test_every_saga_can_be_shown_to_people_R4_R5(definition: Saga) -> None:
    for saga in reachable(definition):
        shown = record(definition, saga)

        assert 0 <= shown.currentStep <= len(definition.steps), saga
        assert shown.currentStep == current_step(saga), saga
        assert set(shown.stepsCompensated) <= set(shown.stepsExecuted), saga
        assert status_sentence(saga).removesuffix(" (held)").split("_")[0] in {*SagaState, "STEP"}, saga


def as_stored(row: LogEntry) -> dict[str, object]:
    """A log row's detail as it comes back from the store."""
    stored: dict[str, object] = decode_trusted(encode(row.detail))
    return stored
