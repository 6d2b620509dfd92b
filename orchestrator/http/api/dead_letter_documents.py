"""What the API says of dead letters, and is asked about them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kafka_saga.orchestrator.http.api.documents import ActText, Answer, Asked, Moment
from kafka_saga.runtime.limits import ID_LENGTH_MAX


class DeadLetterDocument(Answer):
    """A message that could not be used."""

    position: str = Field(examples=["dlq.order.requests/0/17"])
    topic: str
    at: Moment
    cause: str | None
    message: str | None
    saga_id: str | None
    replays: int
    handled: dict[str, Any] | None


class DeadLetterCounts(Answer):
    """How many dead letters there are of each kind."""

    items: list[dict[str, Any]]
    all: int
    open: int = Field(description="That nobody has handled")
    looked_at: int
    complete: bool = Field(description="False where only the newest were looked at for `items`")


class DeadLettersAsked(Asked):
    """Which dead letters, and why."""

    position: str | None = Field(
        default=None, max_length=300, examples=["dlq.order.requests/0/17"], description="One of them"
    )
    topic: str | None = Field(default=None, max_length=250)
    cause: str | None = Field(default=None, max_length=100)
    saga: str | None = Field(default=None, max_length=ID_LENGTH_MAX)
    since: Moment | None = None
    until: Moment | None = None
    limit: int = Field(default=100, ge=1, le=10_000, description="The oldest so many")
    total: int | None = Field(default=None, ge=1, le=10_000, description="How many there are: needed above 100")
    all_topics: bool = Field(default=False, description="Also of topics that no saga here needs")
    dry_run: bool = False
    reason: ActText | None = None
    again: bool = Field(default=False, description="With a position: although it was handled before")
    force: bool = Field(default=False, description="However often they came back already")


class DeadLettersHandled(Answer):
    """What became of dead letters, or would."""

    dry_run: bool
    matching: int
    counts: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    failed: list[dict[str, Any]]
