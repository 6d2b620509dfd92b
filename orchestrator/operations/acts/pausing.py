"""Pausing a service or a saga type, and what is paused and held (docs/decisions/0009)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import OPERATOR
from kafka_saga.orchestrator.operations.acts.acting import check_act
from kafka_saga.orchestrator.store.port import NO_SAGA, QueuedAct
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import rfc3339


@dataclass(frozen=True, slots=True)
class PauseRow:
    """A pause, or what is held without one.

    Attributes:
        pause: None for sagas that people hold one by one, and for what a lifted pause held and waits for room.
        held: how many sagas it holds now.

    """

    scope: str
    pause: Pause | None
    held: int

    @property
    def what(self) -> str:
        """For people: `service payment`, `type order`, `single sagas`."""
        return scope_text(self.scope) if self.scope != OPERATOR else "single sagas"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        hold = None if self.pause is None else self.pause.hold
        return {
            "scope": self.scope,
            "paused": self.pause is not None,
            "underWay": None if self.pause is None else self.pause.under_way,
            "actor": None if hold is None else hold.actor,
            "reason": None if hold is None else hold.reason,
            "since": None if hold is None else rfc3339(hold.at),
            "held": self.held,
        }


def scope_text(scope: str) -> str:
    """A scope as people say it: `service payment`."""
    return scope.replace(":", " ", 1)


def on_scope(act: Act, scope: str, *, under_way: bool = False) -> QueuedAct:
    """A pause or resume of `service:…` or `type:…`, checked.

    Raises:
        UsageError: a text is empty or too long.

    """
    arguments = {"scope": scope, "underWay": True} if under_way else {"scope": scope}
    checked = replace(act, arguments=arguments)
    check_act(checked)
    return QueuedAct(checked, NO_SAGA)


async def list_pauses(reader: StoreReader) -> list[PauseRow]:
    """What is paused, oldest first, and then what is held without a pause."""
    pauses = await reader.pauses()
    held = dict.fromkeys(pauses, 0)
    for (scope, _), count in (await reader.count_held()).items():
        held[scope] = held.get(scope, 0) + count
    return [PauseRow(scope, pauses.get(scope), count) for scope, count in held.items()]
