"""How a saga ended, as its last event tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.schemas.ids import SagaRef

if TYPE_CHECKING:
    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")

COMPLETED = "COMPLETED"
COMPENSATED = "COMPENSATED"
PARKED = "PARKED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a saga, or that it waits for a person.

    Attributes:
        ref: the saga's type and id.
        state: COMPLETED; COMPENSATED, where everything that was done is undone; or PARKED, where a person must act and
            the saga may still end either way.
        error: why it was undone or parked; None where it completed.
        failed_step: the step, from 1, at which it turned back; None where it did not, or where that is not known,
            because the saga turned back before this client read events.
        failed_step_name: its name, where the client was given the definition.
        steps_executed: steps that were done, from 1, in order.
        steps_compensated: steps that were undone, in the order in which they were.
        data: `request`, and `replies` by the steps' names; empty where they were too large for an event.
        sequence: orders the saga's events.
        at_ms: when it was told, in milliseconds since 1970.

    """

    ref: SagaRef
    state: str
    error: str | None = None
    failed_step: int | None = None
    failed_step_name: str | None = None
    steps_executed: tuple[int, ...] = ()
    steps_compensated: tuple[int, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 0
    at_ms: int = 0

    @property
    def completed(self) -> bool:
        """Whether everything was done."""
        return self.state == COMPLETED

    @property
    def compensated(self) -> bool:
        """Whether everything was undone."""
        return self.state == COMPENSATED

    @property
    def parked(self) -> bool:
        """Whether a person must act."""
        return self.state == PARKED

    def request(self, model: type[Model]) -> Model:
        """The request that started the saga, as a `model`.

        Raises:
            NotFoundError: it was too large for an event.
            ContractError: it does not fit the model.

        """
        return _read(model, self.data.get("request"), f"the request of saga {self.ref}")

    def reply(self, step: str, model: type[Model]) -> Model:
        """What a step's action replied, as a `model`.

        Raises:
            NotFoundError: the step has no reply, or the saga's data was too large for an event.
            ContractError: it does not fit the model.

        """
        replies = self.data.get("replies")
        return _read(model, replies.get(step) if isinstance(replies, Mapping) else None, f"a reply of step '{step}'")


def _read(model: type[Model], document: Any, what: str) -> Model:
    from kafka_saga.schemas.codec import decode_model, encode  # noqa: PLC0415 -- loaded when a client connects

    if not isinstance(document, Mapping):
        raise NotFoundError(f"the outcome has not {what}")
    return decode_model(model, encode(document))


def outcome_of(
    ref: SagaRef, record: Mapping[str, Any], *, sequence: int, at_ms: int, turned_at: int | None, name: str | None
) -> Outcome:
    """The outcome that a saga's record tells; `turned_at` is the step at which it turned back, where that was seen."""
    error = record.get("error")
    state = str(record.get("state"))
    return Outcome(
        ref=ref,
        state=state,
        error=None if error is None else str(error),
        failed_step=None if state == COMPLETED else turned_at,
        failed_step_name=None if state == COMPLETED else name,
        steps_executed=_numbers(record.get("stepsExecuted")),
        steps_compensated=_numbers(record.get("stepsCompensated")),
        data=data if isinstance(data := record.get("data"), Mapping) else {},
        sequence=sequence,
        at_ms=at_ms,
    )


def turned_at(record: Mapping[str, Any]) -> int:
    """The step, from 1, at which a saga turned back, by its event of that moment: the one that was not done."""
    return max(_numbers(record.get("stepsExecuted")), default=0) + 1


def _numbers(found: Any) -> tuple[int, ...]:
    return tuple(number for number in found if isinstance(number, int)) if isinstance(found, list) else ()
