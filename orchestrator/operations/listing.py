"""Listing sagas: one line of each, for people and programs."""

from __future__ import annotations

from typing import Any

from orchestrator.machine.saga import Saga, current_step, status_sentence
from orchestrator.machine.states import TERMINAL
from runtime.clock import rfc3339


def summary(saga: Saga, now: int) -> dict[str, Any]:
    """A saga in one JSON object: what a list shows of it."""
    ended = saga.state in TERMINAL
    return {
        "sagaId": saga.ref.saga_id,
        "sagaType": saga.ref.saga_type,
        "version": saga.definition_version,
        "state": saga.state.value,
        "status": status_sentence(saga),
        "currentStep": current_step(saga),
        "error": saga.error,
        "parked": None if saga.parked is None else saga.parked.reason.value,
        "startedAt": rfc3339(saga.created_at),
        "updatedAt": rfc3339(saga.updated_at),
        "ageMs": max(0, now - saga.created_at),
        "durationMs": (saga.updated_at if ended else max(now, saga.updated_at)) - saga.created_at,
    }
