"""Waiting for a reply, the same for an action and for its compensation: an attempt fails, the next one follows.

What is different is only what happens when no attempt is left; that is `spent`, given by the direction's own rules.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka_saga.orchestrator.machine.backoff import attempts_max, backoff_ms
from kafka_saga.orchestrator.machine.decision import Ignored, Result
from kafka_saga.orchestrator.machine.draft import Draft
from kafka_saga.orchestrator.machine.events import Replied, TimerFired
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus
from kafka_saga.schemas.ids import Phase

Spent = Callable[[Draft, int, str], None]
"""What to do with a step, by its index and its error, when its attempts are spent."""

_WAITING = {Phase.FORWARD: LogStatus.IN_PROGRESS, Phase.COMPENSATE: LogStatus.COMPENSATING}


def attempt_failed(draft: Draft, index: int, phase: Phase, event: Replied, spent: Spent) -> Result:
    """A `retry` reply: it counts only for the attempt in flight (R7)."""
    step = draft.steps[index]
    attempt = step.command_attempt(phase)
    if step.deadline_at is None or (event.attempt or attempt) != attempt:
        return Ignored(IgnoredReason.OTHER_ATTEMPT)
    _next_attempt(draft, index, phase, status=LogStatus.RETRY, error=event.error, spent=spent)
    return draft.finish()


def timer_fired(draft: Draft, phase: Phase, event: TimerFired, spent: Spent) -> Result:
    """A backoff has ended, or a reply has not come."""
    index = draft.before.active_index
    wake_at = draft.before.wake_at
    if index is None or wake_at is None or wake_at > draft.now:
        return Ignored(IgnoredReason.NOT_DUE)
    if draft.pauses and draft.withheld(index):
        return draft.finish()  # the silence of a service that is paused tells nothing
    step = draft.steps[index]
    if step.deadline_at is None:
        draft.send(index, phase)
        return draft.finish()
    timeout_ms = draft.definition.steps[index].policy(phase).timeout_ms
    if event.published_at + timeout_ms > draft.now:
        draft.step(index, deadline_at=event.published_at + timeout_ms)
        note = "published late: the wait starts again"
        draft.log(index, _WAITING[phase], step.command_attempt(phase), note=note)
        return draft.finish()
    error = f"no reply within {timeout_ms / 1000:g} s"
    _next_attempt(draft, index, phase, status=LogStatus.TIMEOUT, error=error, spent=spent)
    return draft.finish()


def _next_attempt(draft: Draft, index: int, phase: Phase, *, status: LogStatus, error: str, spent: Spent) -> None:
    """Wait for the next attempt, or there is none. Timeouts and `retry`s share one counter (R8)."""
    attempt = draft.step(index, error=error).command_attempt(phase)
    retry = draft.definition.steps[index].policy(phase).retry
    forward_only = phase is Phase.FORWARD and draft.definition.forward_only(index)
    if attempt < attempts_max(retry, forward_only=forward_only):
        retry_at = draft.now + backoff_ms(retry, attempt)
        draft.step(index, deadline_at=None, retry_at=retry_at)
        draft.log(index, status, attempt, error=error, retry_at=retry_at)
    else:
        draft.log(index, status, attempt, error=error)
        spent(draft, index, error)
