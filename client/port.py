"""What a service may ask of sagas: `SagaClient` answers by Kafka, `kafka_saga.testing.InMemorySagas` without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from kafka_saga.client.events import EventPosition, SagaEvent
from kafka_saga.client.outcome import Outcome
from kafka_saga.runtime.limits import CLIENT_OUTCOME_TIMEOUT_MS
from kafka_saga.schemas.ids import SagaRef

if TYPE_CHECKING:
    from pydantic import BaseModel

Since = EventPosition | str | datetime
"""`now`, `beginning`, a moment, or a stream's position, also as text."""


class EventStream(Protocol):
    """Events, one after the other: `async for event in stream`. Leave it by `async with`, or close it."""

    @property
    def position(self) -> EventPosition:
        """Where another stream goes on after the last event that this one gave."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> SagaEvent: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def aclose(self) -> None:
        """Read no more."""
        ...


class Sagas(Protocol):
    """Starting sagas and following them."""

    async def start(
        self,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
    ) -> SagaRef:
        """Ask for a saga, in the name of `actor`; its identity."""
        ...

    async def start_many(
        self,
        requests: Sequence[BaseModel | Mapping[str, Any]],
        *,
        saga_type: str | None = None,
        actor: str | None = None,
    ) -> list[SagaRef]:
        """Ask for many sagas; their identities, in the same order."""
        ...

    async def outcome(
        self, saga_id: str, *, saga_type: str | None = None, timeout_ms: int = CLIENT_OUTCOME_TIMEOUT_MS
    ) -> Outcome:
        """Wait until a saga has ended."""
        ...

    async def run(
        self,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
        timeout_ms: int = CLIENT_OUTCOME_TIMEOUT_MS,
    ) -> Outcome:
        """Ask for a saga and wait until it has ended."""
        ...
