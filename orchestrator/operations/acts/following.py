"""What became of an act. Being taken is not having an effect: a retry has worked when its reply is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import TERMINAL, EventKind, LogStatus, SagaState
from kafka_saga.orchestrator.store.act_rows import ActRow, verb_word


class Result(StrEnum):
    """How an act stands, for people and programs."""

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an act stands, and a sentence.

    Attributes:
        unattended: nobody is there to take it.
        stalled: it goes on only when somebody does something else first.

    """

    result: Result
    message: str
    unattended: bool = False
    stalled: bool = False


_DONE = {
    LogStatus.IN_PROGRESS: {LogStatus.SUCCESS: "is done"},
    LogStatus.COMPENSATING: {
        LogStatus.COMPENSATED: "is undone",
        LogStatus.NOTHING_TO_UNDO: "had never happened: there was nothing to undo",
    },
}
"""By what was sent again: the answers that were hoped for, and how to say them."""

_OVERTAKING = frozenset({EventKind.RETRY_NOW, EventKind.SKIP, EventKind.CANCEL, EventKind.RESOLVE})
"""Acts after which the reply that a retry waits for is no longer the one that decides."""

_TAKEN = {"done": Result.SUCCEEDED, "refused": Result.REFUSED, "unchanged": Result.UNCHANGED}
_SENT = frozenset(_DONE)
_FAILED = frozenset({LogStatus.RETRY, LogStatus.TIMEOUT, LogStatus.FAILED, LogStatus.PARKED})


def follow(row: ActRow, saga: Saga | None, log: Sequence[LogEntry]) -> Standing:
    """How an act stands.

    Args:
        row: its row.
        saga: as it is now; None where it is of no interest, or gone.
        log: the saga's whole log, oldest first.

    """
    if row.outcome is None:
        return Standing(Result.WAITING, "the orchestrator has not taken it yet")
    if saga is not None and row.outcome == "done":
        if row.kind == EventKind.RETRY_NOW:
            return _follow_retry(row, saga, log)
        if row.kind == EventKind.CANCEL:
            return _follow_cancel(saga)
        if row.kind == EventKind.SKIP:
            what = "undone" if _skipped_undo(row, log) else "done"
            return Standing(Result.SUCCEEDED, f"'{row.arguments.get('step')}' is taken as {what} by hand")
        if row.kind == EventKind.RESOLVE:
            return Standing(Result.SUCCEEDED, f"the saga is taken as {row.arguments.get('as')} by hand")
    return Standing(_TAKEN[row.outcome], row.message or "")


def _skipped_undo(row: ActRow, log: Sequence[LogEntry]) -> bool:
    """Whether what was skipped was the step's compensation: the log row after the act's says."""
    ours = (number for number, entry in enumerate(log) if entry.detail.get("act_id") == row.act_id)
    following = log[next(ours, len(log)) + 1 :]
    return bool(following) and following[0].status is LogStatus.COMPENSATED


def _follow_cancel(saga: Saga) -> Standing:
    if saga.state is SagaState.COMPENSATED:
        return Standing(Result.SUCCEEDED, "what was done is undone: the saga is COMPENSATED")
    if saga.state is SagaState.PARKED:
        why = "" if saga.parked is None else f": {saga.parked.detail}"
        return Standing(Result.FAILED, f"the saga was cancelled, and is PARKED while being undone{why}")
    if saga.state in TERMINAL:
        return Standing(Result.FAILED, f"the saga was cancelled, and is {saga.state.value} since: see its acts")
    if saga.held is not None:
        message = f"the saga is {saga.state.value} and {describe(saga.held)}: it is undone when it is resumed"
        return Standing(Result.WAITING, message, stalled=True)
    return Standing(Result.WAITING, f"the saga is {saga.state.value}: what was done is being undone")


def _follow_retry(row: ActRow, saga: Saga, log: Sequence[LogEntry]) -> Standing:
    rows = iter(log)
    acted = next((entry for entry in rows if entry.detail.get("act_id") == row.act_id), None)
    if acted is None or (saga.state is SagaState.PENDING):
        return Standing(Result.SUCCEEDED, row.message or "")
    answer = _answer(acted, rows)
    index = saga.active_index
    withheld = index is None or saga.steps[index].deadline_at is None
    if answer is None and saga.held is not None and withheld:
        message = f"the saga is {describe(saga.held)}: the command goes out when that ends"
        return Standing(Result.WAITING, message, stalled=True)
    return answer or Standing(
        Result.WAITING, f"'{acted.step}' was sent again, and its reply has not come" if acted.step else "it was sent"
    )


def _answer(acted: LogEntry, after: Iterable[LogEntry]) -> Standing | None:
    """What the step said to the command that a retry sent; None where it has not answered.

    An attempt that failed is no answer while the step has attempts left: what comes of the last one is.
    """
    step = acted.step
    sent: LogStatus | None = None
    trying: Standing | None = None
    for entry in after:
        if entry.status is LogStatus.ACT and entry.detail.get("verb") in _OVERTAKING:
            verb, actor = verb_word(str(entry.detail.get("verb"))), entry.detail.get("actor")
            return Standing(Result.FAILED, f"{actor} acted before the reply came ({verb}): see the saga's acts")
        step = step or entry.step  # a command that could not be built before has no step in the act's own row
        if entry.step != step:
            continue
        if sent is None and entry.status in _SENT:
            sent = entry.status
        elif sent is not None and entry.status in _DONE[sent]:
            return Standing(Result.SUCCEEDED, f"'{step}' {_DONE[sent][entry.status]}")
        elif entry.status in _FAILED and "retry_at" in entry.detail:  # attempts are left, and follow by themselves
            trying = Standing(Result.WAITING, f"'{step}' failed, and is tried again by itself: {_why(entry)}")
        elif entry.status in _FAILED:
            return Standing(Result.FAILED, f"'{step}' failed again: {_why(entry)}")
        elif entry.status in _SENT and entry.status is not sent:
            return Standing(Result.FAILED, f"'{step}' was not waited for: it is being undone")
    return trying


def _why(entry: LogEntry) -> str:
    detail = entry.detail
    body = detail.get("body")
    said = detail.get("error") or detail.get("why") or (body.get("error") if isinstance(body, dict) else None)
    return str(said or entry.status.value)
