"""What `advance()` returns: values that compare, and that the engine carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import IgnoredReason, LogStatus
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import CommandId


class SendCommand(NamedTuple):
    """Publish a command to a service's topic."""

    command_id: CommandId
    service: str
    command_type: str
    attempt: int
    body: bytes


class EmitEvent(NamedTuple):
    """Tell the world, with the saga's record as it is after this transition."""

    event: LifecycleEvent


Effect = SendCommand | EmitEvent


class LogEntry(NamedTuple):
    """One row of the step log (R28). `step` is empty where the row is about the saga as a whole."""

    seq: int
    step: str
    status: LogStatus
    attempt: int
    at: int
    detail: Mapping[str, Any]


class Decision(NamedTuple):
    """The saga after the event, what must be sent, and what the log says."""

    saga: Saga
    effects: tuple[Effect, ...] = ()
    log: tuple[LogEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event changes nothing."""

    reason: IgnoredReason


@dataclass(frozen=True, slots=True)
class Refused:
    """An operator's act is not possible in this state; `message` says why and what is."""

    message: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """An operator's act is what is happening anyway."""

    message: str


Result = Decision | Ignored | Refused | Unchanged
