"""What people are shown of the values of messages: on Kafka itself they stay whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.masking import command_mask, mask_of
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.schemas.envelope import OUTCOME, Outcome
from kafka_saga.schemas.events import SagaRecord
from kafka_saga.schemas.ids import CommandId, Phase
from kafka_saga.schemas.sensitive import EVERYTHING, MASK, NOTHING, Place, Schema, Sensitivity, member, redact
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames

_STRUCTURED = "application/cloudevents"


class MessageMasks:
    """What is sensitive of the messages of a registry's sagas, by the topic that they are on, or were on.

    Args:
        registry: the sagas; every version of a type counts, for a message does not tell its own.
        topics: how topics are called.

    """

    def __init__(self, registry: Registry, topics: TopicNames) -> None:
        self._definitions = list(registry)
        self._topics = topics

    def shown(
        self,
        topic: str,
        headers: Mapping[str, str],
        command: CommandId | None,
        value: Any,
        secrets: frozenset[str] | None = None,
    ) -> Any:
        """A value as it is shown.

        Args:
            topic: where the message lies; a dead letter is as sensitive as it was on its own topic.
            headers: its headers.
            command: which command it is, or answers; None where it is neither or does not say.
            value: its document, or text where it is no JSON.
            secrets: what is hidden of its saga, which a participant's error may quote; None where nobody knows:
                the error of a saga that hides anything is masked whole.

        """
        origin = topic.removeprefix(DEAD_LETTER_PREFIX)
        if origin in self._replies and headers.get(OUTCOME, Outcome.SUCCESS) != Outcome.SUCCESS:
            hides = any(mask_of(one).hides for one in self._among(self._replies[origin], command))
            return _masked(_failed(secrets), headers, redact(value, secrets or frozenset())) if hides else value
        return _masked(self._of(origin, command), headers, value)

    def secrets(self, topic: str, command: CommandId | None, value: Any) -> frozenset[str]:
        """What is hidden of a value, to be found again in what is said about it: earlier versions quoted it."""
        inner = value.get("data", value) if isinstance(value, Mapping) else value
        return self._of(topic.removeprefix(DEAD_LETTER_PREFIX), command).secrets(inner)

    def _of(self, topic: str, command: CommandId | None) -> Sensitivity:
        if topic in self._requests:
            return self._requests[topic]
        if topic in self._events:
            return self._events[topic]
        if topic in self._commands:
            return _joined(_sent(self._among(self._commands[topic], command), command))
        if topic in self._replies:
            return _joined(_answered(self._among(self._replies[topic], command), command))
        return NOTHING

    def _among(self, definitions: list[Definition], command: CommandId | None) -> list[Definition]:
        """Those that may have sent the command; all of the topic's where that is not known."""
        named = [one for one in definitions if command is not None and _sends(one, command)]
        return named or definitions

    @cached_property
    def _requests(self) -> dict[str, Sensitivity]:
        return self._by_type(self._topics.requests, lambda one: mask_of(one).request)

    @cached_property
    def _events(self) -> dict[str, Sensitivity]:
        return self._by_type(self._topics.events, _of_event)

    @cached_property
    def _commands(self) -> dict[str, list[Definition]]:
        return self._by_service(self._topics.commands)

    @cached_property
    def _replies(self) -> dict[str, list[Definition]]:
        return self._by_service(self._topics.replies_of)

    def _by_type(
        self, topic_of: Callable[[str], str], sensitivity_of: Callable[[Definition], Sensitivity]
    ) -> dict[str, Sensitivity]:
        found: dict[str, list[Sensitivity]] = {}
        for definition in self._definitions:
            found.setdefault(topic_of(definition.saga_type), []).append(sensitivity_of(definition))
        return {topic: _joined(several) for topic, several in found.items()}

    def _by_service(self, topic_of: Callable[[str], str]) -> dict[str, list[Definition]]:
        found: dict[str, list[Definition]] = {}
        for definition in self._definitions:
            for service in dict.fromkeys(step.service for step in definition.steps):
                found.setdefault(topic_of(service), []).append(definition)
        return found


def _sends(definition: Definition, command: CommandId) -> bool:
    index = definition.index(command.step)
    return (
        definition.saga_type == command.saga_type
        and index is not None
        and command.phase in definition.steps[index].phases
    )


def _sent(definitions: Iterable[Definition], command: CommandId | None) -> Iterable[Sensitivity]:
    for definition in definitions:
        if command is not None and _sends(definition, command):
            yield command_mask(definition, command.step, command.phase)
        else:
            yield EVERYTHING if mask_of(definition).hides else NOTHING


def _answered(definitions: Iterable[Definition], command: CommandId | None) -> Iterable[Sensitivity]:
    for definition in definitions:
        known = mask_of(definition)
        if command is None or not _sends(definition, command):
            yield EVERYTHING if known.hides else NOTHING
        elif command.phase is Phase.FORWARD:
            yield known.reply(command.step)


def _of_event(definition: Definition) -> Sensitivity:
    """What is sensitive of an event: engines of before sent them whole."""
    known = mask_of(definition)
    if not known.hides:
        return NOTHING
    replies = [member(step, one.places) for step, one in known.replies.items()]
    data = member("request", known.request.places).joined(member("replies", _joined(replies).places))
    return member("data", data.places).joined(_open(name for name in SagaRecord.model_fields if name != "data"))


def _open(names: Iterable[str]) -> Sensitivity:
    """A message with these fields, none of them sensitive."""
    schema: Schema = {"type": "object", "properties": {name: {} for name in names}}
    return Sensitivity((Place(schema, schema),), any=False)


def _failed(secrets: frozenset[str] | None) -> Sensitivity:
    """What a participant says when it did not do what it was asked: no fields of its reply, and a sentence."""
    return member("error", EVERYTHING.places) if secrets is None else replace(_open(["error"]), any=True)


def _masked(sensitivity: Sensitivity, headers: Mapping[str, str], value: Any) -> Any:
    """A value as it is shown; of a structured event the data only."""
    if not sensitivity.any or value is None:
        return value
    if isinstance(value, Mapping) and headers.get("content-type", "").lower().startswith(_STRUCTURED):
        return {
            name: sensitivity.mask(inner) if name == "data" else MASK if name == "data_base64" else inner
            for name, inner in value.items()
        }
    return sensitivity.mask(value)


def _joined(several: Iterable[Sensitivity]) -> Sensitivity:
    first, *rest = [*several] or [NOTHING]
    return first.joined(*rest)
