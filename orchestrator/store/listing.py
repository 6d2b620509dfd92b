"""Which sagas an operator wants to see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka_saga.orchestrator.machine.saga import Saga, current_step
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.codec import decode_trusted, encode

KEY_MAX = 2**63 - 1
MOMENT_MAX = 2**63 - 1

_FIELD = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){0,7}", re.ASCII)
_BARE = re.compile(r"true|false|null|-?[0-9]+(\.[0-9]+)?")
"""What stands in JSON without quotes."""

_MOVING = frozenset({SagaState.RUNNING, SagaState.COMPENSATING})


def says(saga: Saga, text: str) -> bool:
    """Whether its error says so, whatever the case: why it is parked, it failed, or its step is tried again."""
    told = [saga.error if saga.parked is None else saga.parked.detail]
    if saga.state in _MOVING and 0 < (number := current_step(saga)) <= len(saga.steps):
        told.append(saga.steps[number - 1].error)
    return any(text.lower() in error.lower() for error in told if error is not None)


@dataclass(frozen=True, slots=True)
class Filter:
    """What must be true of a saga to be listed.

    Attributes:
        states: it is in one of these; none means any.
        saga_type: it is of this type.
        started_from, started_before: when it was accepted, milliseconds of the store's clock.
        error: part of its error's text, whatever the case, or of what the step that is being tried again failed with.
        held: it is held, whatever by.
        cause: it is parked for this reason.
        data: a field of its request, `items` or `address.city`, and its value, as text or as JSON.
        steps: it stands at one of these steps, each as `TYPE/VERSION/NUMBER`.
        prefix: the beginning of its id. Among millions that have ended only `StoreReader.beginning_with` is quick.
        before_row: older than the saga with this row, to read on where a list ended.
        from_row: not older than the saga with this row.
        limit: how many, newest first.

    """

    states: frozenset[SagaState] = frozenset()
    saga_type: str | None = None
    started_from: int | None = None
    started_before: int | None = None
    error: str | None = None
    held: bool = False
    cause: str | None = None
    data: tuple[str, str] | None = None
    steps: frozenset[str] | None = None
    prefix: str | None = None
    before_row: int = KEY_MAX
    from_row: int = 0
    limit: int = 20

    @property
    def wanted_states(self) -> frozenset[SagaState]:
        return self.states or frozenset(SagaState)

    @property
    def is_unfinished_only(self) -> bool:
        """Whether finished sagas need not be looked at, which there may be millions of."""
        return self.held or self.cause is not None or not self.wanted_states & TERMINAL

    @property
    def data_path(self) -> str | None:
        """The field as a JSON path."""
        return None if self.data is None else f"$.{self.data[0]}"

    @property
    def data_values(self) -> str | None:
        """What the field may be, as a JSON array of JSON texts: a number is written as text may be."""
        if self.data is None:
            return None
        text = self.data[1]
        return encode([encode(text).decode(), *([text] if _BARE.fullmatch(text) else [])]).decode()

    def lets(self, saga: Saga) -> bool:
        """Whether a saga that was found otherwise is wanted."""
        return (
            saga.state in self.wanted_states
            and self.saga_type in (None, saga.ref.saga_type)
            and (self.started_from or 0) <= saga.created_at < (self.started_before or MOMENT_MAX)
            and (self.error is None or says(saga, self.error))
            and saga.ref.saga_id.startswith(self.prefix or "")
            and (not self.held or saga.held is not None)
            and (self.cause is None or (saga.parked is not None and saga.parked.reason == self.cause))
            and (self.data is None or self._has(saga.request))
            and (
                self.steps is None
                or f"{saga.ref.saga_type}/{saga.definition_version}/{current_step(saga)}" in self.steps
            )
        )

    def _has(self, request: Any) -> bool:
        """Whether the request has the field's value."""
        assert self.data is not None
        for name in self.data[0].split("."):
            request = request.get(name) if isinstance(request, Mapping) else None
        return request is not None and encode(request).decode() in decode_trusted(self.data_values or "[]")

    def check(self) -> None:
        """Refuse a field that cannot be asked for.

        Raises:
            UsageError: the field's name is none.

        """
        if self.data is not None and _FIELD.fullmatch(self.data[0]) is None:
            raise UsageError(f"'{self.data[0]}' is no field of a request: write customer_id, or address.city")
