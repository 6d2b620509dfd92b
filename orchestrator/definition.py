"""What users write: a saga as a list of steps. Everything that can be wrong with it is found when it is built.

    order_saga = Saga(
        "order", version=1, request=OrderRequested, id_from="order_id",
        steps=[
            Step("reserve_inventory", service="inventory", action=ReserveItems, compensation=ReleaseItems,
                 reply=ItemsReserved),
            ...
        ],
    )

A definition is immutable. Running sagas are pinned to the version they began with, and its `fingerprint` tells
whether the code still means the same by that version (R30).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from kafka_saga.orchestrator.sources import (
    FieldSource,
    Provider,
    SagaData,
    Source,
    check_message,
    from_reply,
    from_request,
    settle,
    text,
)
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.limits import ATTEMPTS_MAX, BACKOFF_MS_MAX, STEPS_MAX, TIMEOUT_MS_MAX
from kafka_saga.schemas.codec import describe, encode, encode_model, encode_sorted, validate
from kafka_saga.schemas.ids import NAME_PATTERN, Phase, is_name

__all__ = ["NoReply", "Retry", "Saga", "SagaData", "Step", "command_type", "from_reply", "from_request"]


class NoReply(BaseModel):
    """The reply of a step that has nothing to tell."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently one command is sent again after a timeout or a `retry` reply.

    Attributes:
        retries_max: sends after the first one.
        backoff_ms: wait before the first of them.
        factor: each further wait is this many times longer: 1 s, 2 s, 4 s at the defaults.
        backoff_ms_max: no wait is longer.

    """

    retries_max: int = 3
    backoff_ms: int = 1_000
    factor: float = 2.0
    backoff_ms_max: int = BACKOFF_MS_MAX

    def complaint(self) -> str | None:
        """What is wrong with these numbers, or None."""
        if not 0 <= self.retries_max < ATTEMPTS_MAX:
            return f"retries_max is {self.retries_max}; it must be 0 to {ATTEMPTS_MAX - 1}"
        if not 0 <= self.backoff_ms <= self.backoff_ms_max:
            return f"backoff_ms is {self.backoff_ms}; it must be 0 to backoff_ms_max ({self.backoff_ms_max})"
        if not 1 <= self.factor <= 100:
            return f"factor is {self.factor}; it must be 1 to 100"
        if self.backoff_ms_max > BACKOFF_MS_MAX:
            return f"backoff_ms_max is {self.backoff_ms_max}; it must be at most {BACKOFF_MS_MAX}"
        return None


@dataclass(frozen=True, slots=True)
class Policy:
    """Patience with one command: how long for a reply, and what after that."""

    timeout_ms: int
    retry: Retry


@dataclass(frozen=True)
class Step:
    """One step of a saga: a service, what it is asked to do, and how that is undone.

    Attributes:
        name: identifies the step for ever, in ids, fences, logs and metrics (R4).
        service: whose command topic the commands go to.
        action: the command that does it. Its fields are filled by name from the request and earlier replies.
        compensation: the command that undoes it. None: see `nothing_to_undo` and `pivot`.
        reply: what a successful action answers with; later commands may use its fields.
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
    reply: type[BaseModel] = NoReply
    timeout_ms: int = 5_000
    retry: Retry = Retry()
    compensation_timeout_ms: int = 5_000
    compensation_retry: Retry = Retry()
    nothing_to_undo: bool = False
    pivot: bool = False
    action_fields: Mapping[str, FieldSource] = field(default_factory=dict)
    compensation_fields: Mapping[str, FieldSource] = field(default_factory=dict)

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


class Saga:
    """A saga's definition.

    Args:
        saga_type: names the saga and its topics: `order` reads `order.requests`, writes `order.events`.
        version: raise it with every change of steps, services, commands or field sources (R30).
        request: the model of the request that starts it.
        id_from: the request's field that is the saga's id; without it, or where it is absent, the record's key.
        steps: in the order in which they are taken.

    Raises:
        DefinitionError: what is wrong, in which step and field, and how to mend it.

    """

    def __init__(
        self,
        saga_type: str,
        *,
        version: int,
        request: type[BaseModel],
        steps: Sequence[Step],
        id_from: str | None = None,
    ) -> None:
        self.saga_type = saga_type
        self.version = version
        self.request = request
        self.id_from = id_from
        self.steps = tuple(steps)
        self._check_shape()
        self.pivot_index = self._find_pivot()
        self.step_names = tuple(step.name for step in self.steps)
        self._index = {name: index for index, name in enumerate(self.step_names)}
        self._sources = {
            (step.name, phase): self._settle(step, phase) for step in self.steps for phase in _phases(step)
        }
        self._types = {
            (step.name, phase): command_type(step.command(phase)) for step in self.steps for phase in _phases(step)
        }
        self._check_types()

    def __repr__(self) -> str:
        return f"Saga({self.saga_type!r}, version={self.version}, steps={[step.name for step in self.steps]})"

    @property
    def key(self) -> tuple[str, int]:
        """Type and version: what a running saga is pinned to."""
        return self.saga_type, self.version

    def index(self, step: str) -> int | None:
        """The position of the step of that name, from 0; None where there is none."""
        return self._index.get(step)

    def undoable(self, index: int) -> bool:
        """Whether the step at `index` can be compensated."""
        return self.steps[index].compensation is not None

    def forward_only(self, index: int) -> bool:
        """Whether the step at `index` is the pivot or after it: never compensated (R19)."""
        return self.pivot_index is not None and index >= self.pivot_index

    def command_type(self, step: str, phase: Phase) -> str:
        """The `ce_type` of the step's command: `reserveItems`."""
        return self._types[step, phase]

    def command_body(self, step: str, phase: Phase, data: SagaData) -> bytes:
        """The body of the step's command, as JSON.

        Raises:
            DefinitionError: a field function failed, or the fields do not fit the command.

        """
        model = self.steps[self._index[step]].command(phase)
        fields: dict[str, Any] = {}
        try:
            for name, source in self._sources[step, phase].items():
                value = source.read(data) if isinstance(source, Source) else source(data)
                # An in-doubt step has no reply: its optional field keeps its default.
                if value is not None or model.__pydantic_fields__[name].is_required():
                    fields[name] = value
            return encode_model(validate(model, encode(fields)))
        except ValidationError as error:
            raise DefinitionError(f"{model.__name__} cannot be filled: {describe(error)}") from error
        except Exception as error:  # user code may raise anything: it parks its own saga only
            raise DefinitionError(f"{model.__name__} cannot be filled: {_told(error)}") from error

    def reply_complaint(self, index: int, reply: object) -> str | None:
        """Why `reply` is not what the step at `index` answers with, or None."""
        model = self.steps[index].reply
        try:
            validate(model, encode(reply))
        except ValidationError as error:
            return f"{model.__name__}: {describe(error)}"
        except Exception as error:  # noqa: BLE001 -- a user's validator may raise anything
            return f"{model.__name__}: {_told(error)}"
        return None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what a running saga depends on: steps, services, types, field sources; not timeouts (R30)."""
        described = {
            "type": self.saga_type,
            "request": self.request.__name__,
            "id_from": self.id_from,
            "steps": [self._described(index, step) for index, step in enumerate(self.steps)],
        }
        return hashlib.sha256(encode_sorted(described)).hexdigest()

    def _described(self, index: int, step: Step) -> dict[str, Any]:
        return {
            "name": step.name,
            "service": step.service,
            "pivot": self.pivot_index == index,
            "nothing_to_undo": step.nothing_to_undo,
            "reply": step.reply.__name__,
            "commands": {
                phase.value: {
                    "type": self._types[step.name, phase],
                    "fields": {name: text(source) for name, source in self._sources[step.name, phase].items()},
                }
                for phase in _phases(step)
            },
        }

    def _check_shape(self) -> None:
        where = f"saga '{self.saga_type}'"
        if not is_name(self.saga_type):
            raise DefinitionError(f"{where}: the type must match {NAME_PATTERN}")
        if self.version < 1:
            raise DefinitionError(f"{where}: version is {self.version}; versions are counted from 1")
        if not 1 <= len(self.steps) <= STEPS_MAX:
            raise DefinitionError(f"{where}: {len(self.steps)} steps; a saga has 1 to {STEPS_MAX}")
        check_message(f"{where}, request {_name(self.request)}", self.request)
        if self.id_from is not None and self.id_from not in self.request.model_fields:
            raise DefinitionError(
                f"{where}: id_from='{self.id_from}' is not a field of {self.request.__name__} "
                f"({', '.join(self.request.model_fields)})"
            )
        seen: set[str] = set()
        for step in self.steps:
            _check_step(f"{where}, step '{step.name}'", step, seen)
            seen.add(step.name)

    def _check_types(self) -> None:
        """A service tells its commands apart by their type alone."""
        known: dict[tuple[str, str], tuple[type[BaseModel], Phase, str]] = {}
        for step in self.steps:
            for phase in _phases(step):
                model, name = step.command(phase), self._types[step.name, phase]
                first = known.setdefault((step.service, name), (model, phase, step.name))
                if first[:2] != (model, phase):
                    raise DefinitionError(
                        f"saga '{self.saga_type}', step '{step.name}': its command '{name}' is another one than "
                        f"'{name}' of step '{first[2]}', and service '{step.service}' tells commands apart by name: "
                        "rename one of the classes"
                    )

    def _find_pivot(self) -> int | None:
        last = len(self.steps) - 1
        pivots = [index for index, step in enumerate(self.steps) if step.pivot]
        for index, step in enumerate(self.steps):
            bare = step.compensation is None and not step.nothing_to_undo and not step.pivot
            if bare and index == last and not pivots:
                pivots.append(index)
            elif bare and not (pivots and index > pivots[0]):
                raise DefinitionError(
                    f"saga '{self.saga_type}', step '{step.name}': it has no compensation: give it one, or say "
                    "nothing_to_undo=True, or pivot=True if it is the point of no return (R19)"
                )
        if len(pivots) > 1:
            names = " and ".join(f"'{self.steps[index].name}'" for index in pivots)
            raise DefinitionError(f"saga '{self.saga_type}': {names} are both pivots; a saga has at most one (R19)")
        for step in self.steps[pivots[0] + 1 :] if pivots else ():
            if step.compensation is not None:
                raise DefinitionError(
                    f"saga '{self.saga_type}', step '{step.name}': it comes after the pivot "
                    f"'{self.steps[pivots[0]].name}', so its compensation would never run: drop it (R19)"
                )
        return pivots[0] if pivots else None

    def _settle(self, step: Step, phase: Phase) -> dict[str, FieldSource]:
        before = self.steps[: self._index[step.name]]
        providers = [Provider(None, self.request), *(Provider(other.name, other.reply) for other in before)]
        explicit = step.action_fields
        kind = "action"
        if phase is Phase.COMPENSATE:
            providers.append(Provider(step.name, step.reply, own=True))
            explicit = step.compensation_fields
            kind = "compensation"
        model = step.command(phase)
        return settle(
            f"saga '{self.saga_type}', step '{step.name}', {kind} {model.__name__}", model, explicit, providers
        )


def command_type(model: type[BaseModel]) -> str:
    """A command's name on the wire: its class's in camel case, `ReserveItems` → `reserveItems`."""
    return model.__name__[0].lower() + model.__name__[1:]


def _told(error: Exception) -> str:
    """A user's error in words that can be stored: JSON cannot carry lone surrogates."""
    return f"{type(error).__name__}: {error}".encode(errors="replace").decode()


def _name(model: Any) -> str:
    return getattr(model, "__name__", repr(model))


def _phases(step: Step) -> tuple[Phase, ...]:
    return (Phase.FORWARD,) if step.compensation is None else (Phase.FORWARD, Phase.COMPENSATE)


def _check_step(where: str, step: Step, seen: set[str]) -> None:
    if not is_name(step.name):
        raise DefinitionError(f"{where}: the name must match {NAME_PATTERN}")
    if step.name in seen:
        raise DefinitionError(f"{where}: two steps have this name; names identify steps for ever: rename one (R4)")
    if not is_name(step.service):
        raise DefinitionError(f"{where}: service='{step.service}' must match {NAME_PATTERN}")
    messages = {"action": step.action, "compensation": step.compensation, "reply": step.reply}
    for kind, model in messages.items():
        if model is not None:
            check_message(f"{where}, {kind} {_name(model)}", model)
    if step.pivot and (step.compensation is not None or step.nothing_to_undo):
        raise DefinitionError(f"{where}: a pivot is never undone: drop its compensation, or pivot=True (R19)")
    if step.nothing_to_undo and step.compensation is not None:
        raise DefinitionError(f"{where}: it has a compensation and says nothing_to_undo: keep one of the two")
    if step.compensation_fields and step.compensation is None:
        raise DefinitionError(f"{where}: compensation_fields without a compensation")
    _check_patience(where, step)


def _check_patience(where: str, step: Step) -> None:
    for phase in Phase:
        policy = step.policy(phase)
        names = ("timeout_ms", "retry") if phase is Phase.FORWARD else ("compensation_timeout_ms", "compensation_retry")
        if not 1 <= policy.timeout_ms <= TIMEOUT_MS_MAX:
            raise DefinitionError(f"{where}: {names[0]} is {policy.timeout_ms}; it must be 1 to {TIMEOUT_MS_MAX}")
        complaint = policy.retry.complaint()
        if complaint is not None:
            raise DefinitionError(f"{where}: {names[1]}: {complaint}")
