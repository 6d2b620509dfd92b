"""What sagas tell while they go on: events as values, and where a stream of them goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import SagaRef


@dataclass(frozen=True, slots=True)
class EventPosition:
    """The next offset of each partition. As text it can be stored: `EventPosition.parse(str(position))` is the same."""

    offsets: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """By topic and partition. A partition that is not named is read from its beginning."""

    def __str__(self) -> str:
        from kafka_saga.schemas.codec import encode_sorted  # noqa: PLC0415 -- loaded when a client connects

        document = {topic: {str(number): at for number, at in rows.items()} for topic, rows in self.offsets.items()}
        return encode_sorted(document).decode()

    @classmethod
    def parse(cls, text: str) -> EventPosition:
        """The position that `text` says.

        Raises:
            UsageError: it says none.

        """
        from kafka_saga.schemas.codec import decode_trusted  # noqa: PLC0415

        try:
            found = decode_trusted(text)
            return cls({topic: {int(number): int(at) for number, at in rows.items()} for topic, rows in found.items()})
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(f"'{text[:80]}' is no position of events: keep what str(stream.position) gave") from error


class Place(NamedTuple):
    """Where an event lies."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class SagaEvent:
    """One thing that a saga told.

    Attributes:
        ref: the saga's type and id.
        kind: `started`, `step_succeeded`, `compensating`, `completed`, `compensated` or `parked`; more may come.
        event_id: the same for every copy of this event.
        sequence: rises with every event of a saga; in what comes late or twice it is not above the last one's.
        at_ms: when it was told, in milliseconds since 1970.
        state: PENDING, RUNNING, COMPENSATING, COMPLETED, COMPENSATED or PARKED.
        current_step, steps_executed, steps_compensated, error, data: the saga's record at that moment.
        place: where it lies.

    """

    ref: SagaRef
    kind: str
    event_id: str
    sequence: int
    at_ms: int
    state: str
    current_step: int
    steps_executed: tuple[int, ...]
    steps_compensated: tuple[int, ...]
    error: str | None
    data: Mapping[str, Any]
    place: Place

    @property
    def is_end(self) -> bool:
        """Whether the saga has ended."""
        return self.kind in {"completed", "compensated"}
