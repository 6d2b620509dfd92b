"""One step of a saga, as users write it, and the patience with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from kafka_saga.orchestrator.arguments import said
from kafka_saga.orchestrator.sources import FieldSource
from kafka_saga.runtime.limits import BACKOFF_MS_MAX
from kafka_saga.schemas.ids import Phase

RETRIES_MAX = 3
"""Sends after the first one, where a policy does not say: with waits of 1, 2 and 4 s, and timeouts of 5 s, 27 s."""


class NoReply(BaseModel):
    """The reply of a step that has nothing to tell."""


@said
@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently one command is sent again after a timeout or a `retry` reply.

    Attributes:
        retries_max: sends after the first one; 3 when it is left out. From the pivot on it must be left out: a saga
            that can only go forward sends a command 20 times before a person must look (R19).
        backoff_ms: wait before the first of them.
        factor: each further wait is this many times longer: 1 s, 2 s, 4 s at the defaults.
        backoff_ms_max: no wait is longer.

    """

    retries_max: int | None = None
    backoff_ms: int = 1_000
    factor: float = 2.0
    backoff_ms_max: int = BACKOFF_MS_MAX

    @property
    def attempts_max(self) -> int:
        """How many sends that are."""
        return 1 + (RETRIES_MAX if self.retries_max is None else self.retries_max)


@dataclass(frozen=True, slots=True)
class Policy:
    """Patience with one command: how long for a reply, and what after that."""

    timeout_ms: int
    retry: Retry


@said
@dataclass(frozen=True)
class Step:
    """One step of a saga: a service, what it is asked to do, and how that is undone.

    Attributes:
        name: identifies the step for ever, in ids, fences, logs and metrics (R4).
        service: whose command topic the commands go to.
        action: the command that does it. Its fields are filled by name from the request and earlier replies.
        compensation: the command that undoes it. None: see `nothing_to_undo` and `pivot`.
        reply: what a successful action answers with; later commands may use its fields. None: nothing.
        timeout_ms: how long one attempt may take.
        retry: patience with the action.
        compensation_timeout_ms, compensation_retry: the same for the compensation; its counter is its own (R8).
        nothing_to_undo: the action changes nothing, so it needs no compensation.
        pivot: the point of no return: a step that cannot be undone; after it the saga only goes forward (R19).
        action_fields, compensation_fields: explicit sources of fields: `from_request("x")`, `from_reply("step",
            "x")`, or a function of `SagaData`.

    """

    name: str
    service: str
    action: type[BaseModel]
    compensation: type[BaseModel] | None = None
    reply: type[BaseModel] | None = NoReply
    timeout_ms: int = 5_000
    retry: Retry = Retry()
    compensation_timeout_ms: int = 5_000
    compensation_retry: Retry = Retry()
    nothing_to_undo: bool = False
    pivot: bool = False
    action_fields: Mapping[str, FieldSource] = field(default_factory=dict)
    compensation_fields: Mapping[str, FieldSource] = field(default_factory=dict)

    @property
    def reply_model(self) -> type[BaseModel]:
        """What a success is read by."""
        return NoReply if self.reply is None else self.reply

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The ways in which it has a command."""
        return (Phase.FORWARD,) if self.compensation is None else (Phase.FORWARD, Phase.COMPENSATE)

    def policy(self, phase: Phase) -> Policy:
        """The patience with this step in `phase`."""
        if phase is Phase.FORWARD:
            return Policy(self.timeout_ms, self.retry)
        return Policy(self.compensation_timeout_ms, self.compensation_retry)

    def command(self, phase: Phase) -> type[BaseModel]:
        """The command of this step in `phase`; a compensation must exist."""
        model = self.action if phase is Phase.FORWARD else self.compensation
        assert model is not None, f"step '{self.name}' has no compensation"
        return model
