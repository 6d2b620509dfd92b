"""What holds in every life of every saga, whatever happens to it and in whatever order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from kafka_saga.orchestrator.machine.decision import Decision, Ignored, LogEntry, SendCommand
from kafka_saga.orchestrator.machine.events import Act, Released, Replied, TimerFired
from kafka_saga.orchestrator.machine.folding import fold
from kafka_saga.orchestrator.machine.saga import record
from kafka_saga.orchestrator.machine.states import ACTIVE, TERMINAL, EventKind, LogStatus, SagaState
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.runtime.limits import ATTEMPTS_MAX
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase, parse_command_id
from tests.machine.histories import History, histories

thorough = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])

UNDONE = (LogStatus.COMPENSATED, LogStatus.NOTHING_TO_UNDO)


def stored(row: LogEntry) -> LogEntry:
    """The row as it comes back from the store."""
    return row._replace(detail=decode_trusted(encode(row.detail)))


def surely_did_nothing(row: LogEntry) -> bool:
    """Whether the step that failed so did not happen: its service says so (R8), or no copy ever left (R56)."""
    first = row.attempt == 1 and row.detail.get("epoch") == 1
    unsent = row.detail.get("event") == "NotSent" and first and not row.detail.get("may_be_out")
    return unsent or row.detail.get("outcome") == "failure"


@thorough
@given(histories())
def test_the_log_folded_from_zero_gives_the_row_R28(history: History) -> None:
    assert fold(history.definition, history.start, history.log) == history.saga


@thorough
@given(histories())
def test_the_log_as_stored_folds_into_the_row_after_every_transition_I11(history: History) -> None:
    rows = [stored(row) for row in history.log]

    for moment in history.moments:
        if isinstance(moment.result, Decision):
            until = moment.result.saga
            assert fold(history.definition, history.start, rows[: until.log_seq]) == until


@thorough
@given(histories())
def test_the_log_is_dense_and_never_goes_back_in_time_R27(history: History) -> None:
    assert [row.seq for row in history.log] == list(range(1, len(history.log) + 1))
    assert [row.at for row in history.log] == sorted(row.at for row in history.log)


@thorough
@given(histories())
def test_a_command_id_has_one_payload_for_ever_and_reads_back_I13(history: History) -> None:
    meanings: dict[str, tuple[str, str, bytes]] = {}
    for sent in history.sent:
        meaning = (sent.service, sent.command_type, sent.body)

        assert meanings.setdefault(str(sent.command_id), meaning) == meaning
        assert parse_command_id(str(sent.command_id)) == sent.command_id


@thorough
@given(histories())
def test_an_attempt_of_a_command_is_sent_once_and_counted_from_one_R2(history: History) -> None:
    attempts: dict[str, list[int]] = {}
    for sent in history.sent:
        attempts.setdefault(str(sent.command_id), []).append(sent.attempt)

    for numbers in attempts.values():
        assert numbers == list(range(1, len(numbers) + 1))


@thorough
@given(histories())
def test_an_ended_saga_stays_as_it_is_I12(history: History) -> None:
    for moment in history.moments:
        if moment.before.state in TERMINAL:
            assert not isinstance(moment.result, Decision)


@thorough
@given(histories())
def test_an_active_saga_always_waits_for_a_timer_and_no_other_does(history: History) -> None:
    for moment in history.moments:
        if isinstance(moment.result, Decision):
            saga = moment.result.saga
            assert (saga.wake_at is not None) == (saga.state in ACTIVE and saga.held is None)


@thorough
@given(histories())
def test_an_active_saga_that_nobody_answers_comes_to_rest_I21(history: History) -> None:
    history.pauses.clear()
    history.apply(Act("act-last", EventKind.RESUME, "ann", "mended"))
    sends_max = ATTEMPTS_MAX * 2 * len(history.definition.steps)
    for _ in range(2 * sends_max):
        if history.saga.wake_at is not None:
            history.now = max(history.now, history.saga.wake_at)
            history.apply(TimerFired(published_at=0))

    assert history.saga.state not in ACTIVE


@thorough
@given(histories())
def test_nothing_goes_out_to_what_is_held_or_paused(history: History) -> None:
    for moment in history.moments:
        for effect in getattr(moment.result, "effects", ()):
            if isinstance(effect, SendCommand):
                assert not moment.pauses & {f"service:{effect.service}", f"type:{history.definition.saga_type}"}
                if moment.before.held is not None and not isinstance(moment.event, Released | Act):
                    assert moment.before.held.scope.startswith("service:")


@thorough
@given(histories())
def test_exactly_what_happened_or_may_have_happened_is_undone_in_reverse_I5_I6(history: History) -> None:
    if history.saga.state is not SagaState.COMPENSATED or history.resolved:
        return
    definition = history.definition
    begun = {sent.command_id.step for sent in history.sent if sent.command_id.phase is Phase.FORWARD}
    refused = {row.step for row in history.log if row.status is LogStatus.FAILED and surely_did_nothing(row)}
    to_undo = [
        step.name
        for index, step in enumerate(definition.steps)
        if step.name in begun - refused and definition.undoable(index)
    ]
    undone = [row.step for row in history.log if row.status in UNDONE]

    assert undone == to_undo[::-1]


@thorough
@given(histories())
def test_the_record_tells_what_the_log_tells_R9(history: History) -> None:
    if history.resolved:
        return
    number = {step.name: position for position, step in enumerate(history.definition.steps, 1)}
    compensated = [number[row.step] for row in history.log if row.status is LogStatus.COMPENSATED]
    succeeded = {number[row.step] for row in history.log if row.status is LogStatus.SUCCESS}

    shown = record(history.definition, history.saga)

    assert shown.stepsCompensated == compensated
    assert shown.stepsExecuted == sorted(succeeded | set(compensated))


@thorough
@given(histories())
def test_steps_are_undone_strictly_from_the_last_to_the_first_I6(history: History) -> None:
    undone = [history.definition.index(row.step) or 0 for row in history.log if row.status in UNDONE]

    assert undone == sorted(set(undone), reverse=True)


@thorough
@given(histories())
def test_each_step_is_undone_only_after_its_successors_were_settled_I6(history: History) -> None:
    for moment in history.moments:
        for effect in getattr(moment.result, "effects", ()):
            if isinstance(effect, SendCommand) and effect.command_id.phase is Phase.COMPENSATE:
                assert isinstance(moment.result, Decision)
                index = history.definition.index(effect.command_id.step) or 0
                later = moment.result.saga.steps[index + 1 :]
                standing = [
                    step
                    for position, step in enumerate(later, index + 1)
                    if step.wake_at is not None or (step.executed and step.status == "SUCCESS")
                    if history.definition.undoable(position)
                ]
                assert standing == []


@thorough
@given(histories())
def test_nothing_is_undone_once_the_pivot_has_happened_R19(history: History) -> None:
    pivot = history.definition.pivot_index
    for moment in history.moments:
        if pivot is None or not moment.before.steps[pivot].executed:
            continue
        for effect in getattr(moment.result, "effects", ()):
            assert not (isinstance(effect, SendCommand) and effect.command_id.phase is Phase.COMPENSATE)


@thorough
@given(histories())
def test_a_reply_that_comes_twice_in_a_row_counts_once_I16(history: History) -> None:
    for moment in history.moments:
        if isinstance(moment.event, Replied) and isinstance(moment.result, Decision):
            again = advance(history.definition, moment.result.saga, moment.event, moment.now)

            assert isinstance(again, Ignored)


@thorough
@given(histories())
def test_reading_every_reply_again_from_the_beginning_changes_nothing_I16(history: History) -> None:
    end = history.saga

    for moment in list(history.moments):
        # A `retry` that names no attempt is for the current one, by R7: it cannot be told from a new one.
        nameless = (
            isinstance(moment.event, Replied) and moment.event.outcome is Outcome.RETRY and not moment.event.attempt
        )
        if isinstance(moment.event, Replied) and not nameless:
            assert isinstance(history.apply(moment.event), Ignored)

    assert history.saga == end
