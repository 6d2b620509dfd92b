"""What of sagas and their messages is sensitive, and what people are shown of them: pure, and the one place for it.

A command's field is as sensitive as what it is filled from: by its own mark, by that of the request's or reply's field
that is its source; what a function of the user's makes of a saga with sensitive fields may hold any of them.
Participants' errors and other sentences are shown without the sensitive values that the saga itself knows.
Of a version that no code here has, nobody knows what is sensitive: all of its data is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga, StepState
from kafka_saga.orchestrator.sources import Source
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.sensitive import (
    EVERYTHING,
    NOTHING,
    Sensitivity,
    member,
    redact,
    redacted,
    sensitivity_of,
)


@dataclass(frozen=True, slots=True)
class SagaMask:
    """What is sensitive of the sagas of one definition, or of one that nobody knows."""

    request: Sensitivity
    replies: Mapping[str, Sensitivity]
    names: tuple[str, ...]
    hides: bool

    def reply(self, step: str) -> Sensitivity:
        """What is sensitive of a step's reply."""
        return self.replies.get(step, EVERYTHING if self.hides else NOTHING)

    def secrets(self, saga: Saga) -> frozenset[str]:
        """What is hidden of a saga, to be found again in its sentences."""
        found = [self.request.secrets(saga.request)]
        found += [self._reply_at(index).secrets(step.reply) for index, step in enumerate(saga.steps)]
        return frozenset().union(*found)

    def masked(self, saga: Saga) -> Saga:
        """A saga as people see it: the same one where nothing is sensitive."""
        if not self.hides:
            return saga
        secrets = self.secrets(saga)
        parked = saga.parked
        return replace(
            saga,
            request=_members(self.request, saga.request),
            steps=tuple(self._step(index, step, secrets) for index, step in enumerate(saga.steps)),
            error=_sentence(saga.error, secrets),
            parked=None if parked is None else replace(parked, detail=redacted(parked.detail, secrets)),
        )

    def masked_entry(self, entry: LogEntry, secrets: frozenset[str]) -> LogEntry:
        """A log row as people see it: replies' bodies, and sentences."""
        detail = dict(entry.detail)
        if isinstance(detail.get("body"), Mapping):
            step = str(detail.get("step", entry.step))
            worked = detail.get("outcome") == "success" and detail.get("phase") != Phase.COMPENSATE
            detail["body"] = _members(self.reply(step), detail["body"]) if worked else detail["body"]
        if isinstance(detail.get("arguments"), Mapping):
            detail["arguments"] = self.masked_arguments(detail["arguments"])
        return entry._replace(detail=redact(detail, secrets))

    def masked_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """An act's arguments: what an operator gave as a step's reply is as sensitive as the reply."""
        if not self.hides or arguments.get("data") is None:
            return arguments
        return {**arguments, "data": _members(self.reply(str(arguments.get("step"))), arguments["data"])}

    def _step(self, index: int, step: StepState, secrets: frozenset[str]) -> StepState:
        reply = None if step.reply is None else _members(self._reply_at(index), step.reply)
        return step._replace(reply=reply, error=_sentence(step.error, secrets))

    def _reply_at(self, index: int) -> Sensitivity:
        return self.reply(self.names[index]) if index < len(self.names) else self.reply("")


UNKNOWN = SagaMask(EVERYTHING, {}, (), hides=True)


@cache
def mask_of(definition: Definition) -> SagaMask:
    """What is sensitive of a definition's sagas."""
    request = sensitivity_of(definition.request)
    replies = {step.name: sensitivity_of(step.reply_model) for step in definition.steps}
    hides = request.any or any(one.any for one in replies.values())
    return SagaMask(request, replies, definition.step_names, hides)


@cache
def command_mask(definition: Definition, step: str, phase: Phase) -> Sensitivity:
    """What is sensitive of a step's command."""
    known = mask_of(definition)
    index = definition.index(step)
    assert index is not None, f"{definition!r} has no step '{step}'"
    model = definition.steps[index].command(phase)
    found = sensitivity_of(model)
    for name, source in definition.sources(step, phase).items():
        field = model.model_fields.get(name)
        names = {name} if field is None else {name, field.alias or name, field.serialization_alias or name}
        if isinstance(source, Source):
            provider = known.request if source.step is None else known.reply(source.step)
            places = provider.field(source.field)
        else:
            places = EVERYTHING.places if known.hides else ()
        found = found.joined(*(member(written, places) for written in sorted(names) if places))
    return found if found.any else NOTHING


class Masks:
    """What is shown of sagas, by their definitions: a registry, or any others."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self._of_version = {definition.key: mask_of(definition) for definition in definitions}
        self._of_type: dict[str, list[SagaMask]] = {}
        for (saga_type, _version), mask in self._of_version.items():
            self._of_type.setdefault(saga_type, []).append(mask)

    def of(self, saga_type: str, version: int) -> SagaMask:
        """The mask of the sagas of one version."""
        return self._of_version.get((saga_type, version), UNKNOWN)

    def hides(self, saga_type: str) -> bool:
        """Whether anything of that type's sagas that are known here may be hidden; of an unknown type it is."""
        return any(mask.hides for mask in self._of_type.get(saga_type, [UNKNOWN]))

    def hides_field(self, saga_type: str | None, path: str) -> bool:
        """Whether a field of requests is hidden, `address.city`: of that type, or of any that is known here."""
        every = [mask for masks in self._of_type.values() for mask in masks]
        asked = every if saga_type is None else self._of_type.get(saga_type, [UNKNOWN])
        return any(mask.request.hides(path.split(".")) for mask in asked)

    def saga(self, saga: Saga) -> Saga:
        """A saga as it is shown."""
        return self.of(saga.ref.saga_type, saga.definition_version).masked(saga)

    def secrets(self, saga: Saga) -> frozenset[str]:
        """What is hidden of a saga, which is whole, to be found again in sentences about it."""
        return self.of(saga.ref.saga_type, saga.definition_version).secrets(saga)

    def log(self, saga: Saga, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """The log of `saga`, which is whole, as it is shown."""
        mask = self.of(saga.ref.saga_type, saga.definition_version)
        if not mask.hides:
            return list(entries)
        secrets = mask.secrets(saga)
        return [mask.masked_entry(entry, secrets) for entry in entries]

    def act(self, row: ActRow) -> ActRow:
        """An act as it is shown: its saga's version is not known, so what is sensitive in any of them is."""
        if row.arguments.get("data") is None:
            return row
        arguments: Mapping[str, Any] = row.arguments
        for mask in self._of_type.get(row.ref.saga_type, [UNKNOWN]):
            arguments = mask.masked_arguments(arguments)
        return replace(row, arguments=arguments)


def masked_record(definition: Definition | None, saga: Saga) -> Saga:
    """The saga whose record other services are told of: by an event, which goes to everybody who reads the topic."""
    return saga if definition is None else mask_of(definition).masked(saga)


def _members(sensitivity: Sensitivity, document: Any) -> Any:
    """A document whose members keep their names, also where nobody knows which are sensitive."""
    if sensitivity is EVERYTHING and isinstance(document, Mapping):
        return {name: sensitivity.mask(value) for name, value in document.items()}
    return sensitivity.mask(document)


def _sentence(text: str | None, secrets: frozenset[str]) -> str | None:
    return None if text is None else redacted(text, secrets)
