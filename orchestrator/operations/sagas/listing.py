"""Listing sagas: one line of each, for people and programs."""

from __future__ import annotations

from typing import Any

from kafka_saga.orchestrator.machine.saga import Hold, Saga, current_step, status_sentence
from kafka_saga.orchestrator.machine.states import TERMINAL
from kafka_saga.runtime.clock import rfc3339


def held_json(hold: Hold) -> dict[str, Any]:
    """A hold, or what is paused, for programs."""
    return {"scope": hold.scope, "actor": hold.actor, "reason": hold.reason, "since": rfc3339(hold.at)}


def error_of(saga: Saga) -> str | None:
    """What went wrong, and needs somebody: of a parked saga why it is parked, else what it failed with."""
    return saga.error if saga.parked is None else saga.parked.detail


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
        "error": error_of(saga),
        "parked": None if saga.parked is None else saga.parked.reason.value,
        "held": None if saga.held is None else held_json(saga.held),
        "startedAt": rfc3339(saga.created_at),
        "updatedAt": rfc3339(saga.updated_at),
        "ageMs": max(0, now - saga.created_at),
        "durationMs": (saga.updated_at if ended else max(now, saga.updated_at)) - saga.created_at,
    }
