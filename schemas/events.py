"""What a saga says of itself, on `<type>.events` and in `saga show`: the saga's record."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class LifecycleEvent(StrEnum):
    """What happened to a saga; the message's `ce_type` is `<type>.saga.<this>`."""

    STARTED = "started"
    STEP_SUCCEEDED = "step_succeeded"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    PARKED = "parked"


class SagaRecord(BaseModel):
    """A saga as people and other services see it. Steps are numbered from 1 (R4)."""

    model_config = ConfigDict(frozen=True)

    sagaId: str  # noqa: N815 -- the record's names are those of the wire
    state: str = Field(description="PENDING, RUNNING, COMPENSATING, COMPLETED, COMPENSATED or PARKED")
    currentStep: int = Field(ge=0)  # noqa: N815
    stepsExecuted: list[int]  # noqa: N815
    stepsCompensated: list[int] = Field(description="In the order in which they were undone")  # noqa: N815
    error: str | None = None
    data: dict[str, Any] = Field(default_factory=dict, description="The request, and each step's reply by its name")


def event_type(saga_type: str, event: LifecycleEvent) -> str:
    """The `ce_type` of a lifecycle event."""
    return f"{saga_type}.saga.{event.value}"
