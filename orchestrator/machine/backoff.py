"""How long to wait before a command is sent again. Arithmetic only."""

from __future__ import annotations

from kafka_saga.orchestrator.definition import Retry
from kafka_saga.runtime.limits import ATTEMPTS_MAX


def backoff_ms(retry: Retry, attempt: int) -> int:
    """The wait after `attempt` (counted from 1) has failed: 1 s, 2 s, 4 s at the defaults."""
    assert attempt >= 1, "a backoff follows an attempt"
    ceiling = retry.backoff_ms_max
    return min(ceiling, round(retry.backoff_ms * min(retry.factor ** (attempt - 1), ceiling + 1.0)))


def attempts_max(retry: Retry, *, forward_only: bool) -> int:
    """How many sends a command gets. A pivot and what follows it cannot be undone, so they get them all (R19)."""
    return ATTEMPTS_MAX if forward_only else retry.attempts_max
