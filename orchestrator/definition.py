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

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from pydantic import BaseModel

from kafka_saga.orchestrator import identity
from kafka_saga.orchestrator.arguments import check_name, model_name, said
from kafka_saga.orchestrator.checks import check_not_dead_letters, check_step, checked_steps
from kafka_saga.orchestrator.filling import Filling
from kafka_saga.orchestrator.sources import (
    FieldSource,
    Provider,
    SagaData,
    Source,
    check_id,
    check_message,
    from_reply,
    from_request,
    settle,
)
from kafka_saga.orchestrator.step import NoReply, Retry, Step
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.limits import ATTEMPTS_MAX, STEPS_MAX, VERSION_MAX
from kafka_saga.schemas.codec import JsonObject, encode_sorted
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.reading import read_document

__all__ = ["NoReply", "Retry", "Saga", "SagaData", "Step", "command_type", "from_reply", "from_request"]


@said
class Saga:
    """A saga's definition.

    Args:
        saga_type: names the saga and its topics: `order` reads `order.requests`, writes `order.events`.
        version: raise it with every change of steps, services, commands or field sources (R30).
        request: the model of the request that starts it.
        id_from: the request's field that is the saga's id, text; without it, or where it is absent, the record's key.
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
        self.steps = checked_steps(f"saga '{saga_type}'", steps)
        self._check_shape()
        self.pivot_index = self._find_pivot()
        self._reply_models = tuple(step.reply_model for step in self.steps)
        self.step_names = tuple(step.name for step in self.steps)
        self._index = {name: index for index, name in enumerate(self.step_names)}
        self._fillings = {
            (step.name, phase): self._filling(step, phase) for step in self.steps for phase in step.phases
        }
        self._types = {
            (step.name, phase): command_type(step.command(phase)) for step in self.steps for phase in step.phases
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
        return self._fillings[step, phase].fill(data)

    def reads_reply(self, index: int) -> bool:
        """Whether a later step's command may take a field of the reply of the step at `index`.

        A function of the user's may read any of them. The step's own compensation does not count: it must do without.
        """
        name = self.steps[index].name
        later = (self.sources(step.name, phase) for step in self.steps[index + 1 :] for phase in step.phases)
        return any(
            not isinstance(source, Source) or source.step == name for fields in later for source in fields.values()
        )

    def sources(self, step: str, phase: Phase) -> Mapping[str, FieldSource]:
        """Where each field of the step's command comes from."""
        return self._fillings[step, phase].sources

    def reply_document(self, index: int, value: bytes | None) -> JsonObject:
        """What the step at `index` answered with, read by its model.

        Raises:
            ContractError: it does not fit, or would not be read again alike (R58).

        """
        return read_document(self._reply_models[index], value)

    @cached_property
    def description(self) -> str:
        """What a running saga depends on: steps, services, types, field sources; not timeouts (R30)."""
        return self._described(identity.text)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the description."""
        return identity.fingerprint(self.description)

    @property
    def earlier_fingerprint(self) -> str:
        """The fingerprint that was stored while functions were known by their modules (docs/decisions/0015)."""
        return identity.fingerprint(self._described(identity.text_with_module))

    def change_since(self, fingerprint: str, description: str | None) -> str | None:
        """What it means now and did not when these were stored, in words; None where it means the same."""
        if fingerprint == self.fingerprint or (description is None and fingerprint == self.earlier_fingerprint):
            return None
        if description is None:
            return "what it was in detail was not stored then"
        return identity.differences(description, self.description)

    def _described(self, text: Callable[[FieldSource], str]) -> str:
        described = {
            "type": self.saga_type,
            "request": self.request.__name__,
            "id_from": self.id_from,
            "steps": [
                {
                    "name": step.name,
                    "service": step.service,
                    "pivot": self.pivot_index == index,
                    "nothing_to_undo": step.nothing_to_undo,
                    "reply": step.reply_model.__name__,
                    "commands": {
                        phase.value: {
                            "type": self._types[step.name, phase],
                            "fields": {name: text(source) for name, source in self.sources(step.name, phase).items()},
                        }
                        for phase in step.phases
                    },
                }
                for index, step in enumerate(self.steps)
            ],
        }
        return encode_sorted(described).decode()

    def _check_shape(self) -> None:
        where = f"saga '{self.saga_type}'"
        check_name(where, "the type", self.saga_type)
        check_not_dead_letters(where, "the type", self.saga_type)
        if type(self.version) is not int or not 1 <= self.version <= VERSION_MAX:
            raise DefinitionError(f"{where}: version is {self.version!r}; versions are counted from 1: version=1")
        if not 1 <= len(self.steps) <= STEPS_MAX:
            raise DefinitionError(f"{where}: {len(self.steps)} steps; a saga has 1 to {STEPS_MAX}")
        check_message(f"{where}, request {model_name(self.request)}", self.request)
        if self.id_from is not None:
            check_id(where, self.request, self.id_from)
        seen: set[str] = set()
        for step in self.steps:
            check_step(f"{where}, step '{step.name}'", step, seen)
            seen.add(step.name)

    def _check_types(self) -> None:
        """A service tells its commands apart by their type alone."""
        known: dict[tuple[str, str], tuple[type[BaseModel], Phase, str]] = {}
        for step in self.steps:
            for phase in step.phases:
                model, name = step.command(phase), self._types[step.name, phase]
                first = known.setdefault((step.service, name), (model, phase, step.name))
                if first[0] is model and first[1] is not phase:
                    raise DefinitionError(
                        f"saga '{self.saga_type}', step '{step.name}': its command '{name}' is both an action and a "
                        f"compensation, and service '{step.service}' tells commands apart by name: write two classes"
                    )
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
                    "nothing_to_undo=True, or pivot=True if it is the point of no return"
                )
        if len(pivots) > 1:
            names = " and ".join(f"'{self.steps[index].name}'" for index in pivots)
            raise DefinitionError(f"saga '{self.saga_type}': {names} are both pivots; a saga has at most one")
        for step in self.steps[pivots[0] + 1 :] if pivots else ():
            if step.compensation is not None:
                raise DefinitionError(
                    f"saga '{self.saga_type}', step '{step.name}': it comes after the pivot "
                    f"'{self.steps[pivots[0]].name}', so its compensation would never run: drop it"
                )
        for step in self.steps[pivots[0] :] if pivots else ():
            if step.retry.retries_max is not None:
                raise DefinitionError(
                    f"saga '{self.saga_type}', step '{step.name}': retry: retries_max={step.retry.retries_max} is not "
                    f"obeyed from the pivot on, where a command is sent {ATTEMPTS_MAX} times: leave it out"
                )
        return pivots[0] if pivots else None

    def _filling(self, step: Step, phase: Phase) -> Filling:
        before = self.steps[: self._index[step.name]]
        providers = [Provider(None, self.request), *(Provider(other.name, other.reply_model) for other in before)]
        explicit = step.action_fields
        kind = "action"
        if phase is Phase.COMPENSATE:
            providers.append(Provider(step.name, step.reply_model, own=True))
            explicit = step.compensation_fields
            kind = "compensation"
        model = step.command(phase)
        where = f"saga '{self.saga_type}', step '{step.name}', {kind} {model.__name__}"
        return Filling(model, settle(where, model, explicit, providers), own=step.name)


def command_type(model: type[BaseModel]) -> str:
    """A command's name on the wire: its class's in camel case, `ReserveItems` → `reserveItems`."""
    return model.__name__[0].lower() + model.__name__[1:]
