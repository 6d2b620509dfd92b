"""The wire contract as an AsyncAPI 3.0 document: topics, messages, headers and keys of given definitions.

It is written from the orchestrator's side: it *sends* commands and events and *receives* requests and replies.
https://www.asyncapi.com/docs/reference/specification/v3.0.0
https://github.com/asyncapi/bindings/tree/master/kafka (0.5.0)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kafka_saga.messaging import dead_letters
from kafka_saga.orchestrator.definition import NoReply, Saga, command_type
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas import envelope
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.envelope import Effect, Outcome, Reason
from kafka_saga.schemas.events import LifecycleEvent, SagaRecord, event_type
from kafka_saga.schemas.failure import Failure
from kafka_saga.schemas.ids import NAME_PATTERN, SAGA_ID_PATTERN
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

Document = dict[str, Any]

BINDING: Final = "0.5.0"
VERSION: Final = "1.0.0"
"""Of the wire contract; raised by the rules of semantic versioning."""


def models_of(definitions: Iterable[Saga]) -> dict[str, type[BaseModel]]:
    """Every message model by its name on the wire, sorted.

    Raises:
        DefinitionError: two models that say different things have one name.

    """
    found: dict[str, type[BaseModel]] = {"sagaRecord": SagaRecord, "failure": Failure}
    for definition in definitions:
        models = [definition.request]
        for step in definition.steps:
            models += [step.action, step.reply_model] + ([step.compensation] if step.compensation else [])
        for model in models:
            known = found.setdefault(command_type(model), model)
            if known is not model and known.model_json_schema() != model.model_json_schema():
                raise DefinitionError(
                    f"saga '{definition.saga_type}': {model.__module__}.{model.__name__} and {known.__module__}."
                    f"{known.__name__} are different messages of one name: rename one, or write their contracts apart"
                )
    return dict(sorted(found.items()))


def document(definitions: Sequence[Saga], topics: TopicNames) -> Document:
    """The whole document; the same input gives the same document."""
    writer = _Writer(definitions, topics)
    for definition in definitions:
        writer.saga(definition)
    for service in sorted({step.service for definition in definitions for step in definition.steps}):
        writer.service(service)
    return writer.finish()


class _Writer:
    def __init__(self, definitions: Sequence[Saga], topics: TopicNames) -> None:
        self._definitions = definitions
        self._topics = topics
        self._channels: dict[str, Document] = {}
        self._operations: dict[str, Document] = {}
        self._messages: dict[str, Document] = {"deadLetter": _dead_letter()}
        known: list[type[BaseModel]] = [*models_of(definitions).values(), NoReply]
        models = list(dict.fromkeys(known))
        references, schemas = models_json_schema(
            [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
        )
        self._payloads = {model: references[model, "validation"] for model in models}
        self._schemas: dict[str, Any] = schemas["$defs"]

    def saga(self, definition: Saga) -> None:
        """Its requests and its events."""
        saga_type, model = definition.saga_type, definition.request
        identity = f"the request's field `{definition.id_from}`, else the key" if definition.id_from else "the key"
        key = {"type": "string", "description": f"The saga's id is {identity}"}
        text = "Asks for a saga; plain JSON without any header will do"
        requests = self._topics.requests(saga_type)
        self._channel(
            requests,
            f"Anyone asks here for a saga of type '{saga_type}'",
            [self._message(command_type(model), model, text, key=key)],
        )
        self._operation("receive", requests, "Start a saga, once for each id")
        self._dead_letters(requests)
        events = self._topics.events(saga_type)
        names = [event_type(saga_type, event) for event in LifecycleEvent]
        text = "What became of a saga: its record"
        self._channel(
            events,
            f"What becomes of the sagas of type '{saga_type}'",
            [self._message(name, SagaRecord, text, headers=_event_headers(name)) for name in names],
        )
        self._operation("send", events, "Order and deduplicate by `ce_sequence`")

    def service(self, service: str) -> None:
        """Its commands, and the replies to them."""
        steps = [step for definition in self._definitions for step in definition.steps if step.service == service]
        models = [model for step in steps for model in (step.action, step.compensation) if model is not None]
        asked, answered = self._topics.commands(service), self._topics.replies_of(service)
        self._channel(
            asked, f"What service '{service}' is asked to do, and to undo", [self._command(model) for model in models]
        )
        replies = [self._reply(step.reply_model) for step in steps]
        if any(step.compensation is not None for step in steps):
            replies.append(self._answer("reply.undone", NoReply, "A step is undone, or there was nothing to undo"))
        replies += [self._answer(f"reply.{outcome}", Failure, text, outcome) for outcome, text in _OUTCOMES.items()]
        self._channel(answered, f"How service '{service}' answered", replies)
        self._operation("send", asked, "Delivered at least once: `ce_id` tells duplicates")
        self._operation("receive", answered, "The first answer to a command counts")
        self._operations[f"send.{asked}"]["reply"] = {"channel": _channel_reference(answered)}
        self._dead_letters(asked)
        self._dead_letters(answered)

    def finish(self) -> Document:
        return {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Sagas over Kafka: " + ", ".join(definition.saga_type for definition in self._definitions),
                "version": VERSION,
                "description": "CloudEvents 1.0, Kafka binding, binary mode: the value is one JSON object, "
                "metadata is UTF-8 text headers. Structured mode is read too.",
            },
            "defaultContentType": "application/json",
            "channels": dict(sorted(self._channels.items())),
            "operations": dict(sorted(self._operations.items())),
            "components": {
                "messages": dict(sorted(self._messages.items())),
                "schemas": dict(sorted(self._schemas.items())),
            },
        }

    def _command(self, model: type[BaseModel]) -> Document:
        name = command_type(model)
        headers = _command_headers(name)
        return self._message(name, model, _summary(model), headers=headers, correlation=envelope.ID)

    def _reply(self, model: type[BaseModel]) -> Document:
        if model is NoReply:
            return self._answer("reply.done", NoReply, "A step is done, and there is nothing to tell")
        return self._answer(command_type(model), model, _summary(model))

    def _answer(self, name: str, model: type[BaseModel], summary: str, outcome: Outcome = Outcome.SUCCESS) -> Document:
        headers = _reply_headers(outcome)
        return self._message(name, model, summary, headers=headers, correlation=envelope.CAUSATION_ID)

    def _message(
        self,
        name: str,
        model: type[BaseModel],
        summary: str,
        *,
        headers: Document | None = None,
        key: Document | None = None,
        correlation: str | None = None,
    ) -> Document:
        message: Document = {
            "name": name,
            "summary": summary,
            "contentType": "application/json",
            "payload": self._payloads[model],
            "bindings": {"kafka": {"key": key or _saga_id(), "bindingVersion": BINDING}},
        }
        if headers is not None:
            message["headers"] = headers
        if correlation is not None:
            message["correlationId"] = {"location": f"$message.header#/{correlation}"}
        return message

    def _channel(self, topic: str, description: str, messages: Sequence[Document]) -> None:
        for message in messages:
            self._messages[f"{topic}.{message['name']}"] = message
        self._channel_of(topic, description, {message["name"]: f"{topic}.{message['name']}" for message in messages})

    def _channel_of(self, topic: str, description: str, messages: Mapping[str, str]) -> None:
        self._channels[topic] = {
            "address": topic,
            "description": description,
            "messages": {name: {"$ref": f"#/components/messages/{known}"} for name, known in messages.items()},
            "bindings": {
                "kafka": {
                    "topic": topic,
                    "topicConfiguration": {"cleanup.policy": ["delete"]},
                    "bindingVersion": BINDING,
                }
            },
        }

    def _dead_letters(self, topic: str) -> None:
        dead = dead_letter_topic(topic)
        self._channel_of(dead, f"What could not be used of '{topic}'", {"deadLetter": "deadLetter"})
        self._operation("send", dead, "Set aside, counted, and never in anyone's way")

    def _operation(self, action: str, topic: str, summary: str) -> None:
        channel = _channel_reference(topic)
        self._operations[f"{action}.{topic}"] = {"action": action, "channel": channel, "summary": summary}


_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.FAILURE: "A business refusal: nothing happened, and nothing will by trying again",
    Outcome.RETRY: "A technical failure: nobody knows whether something happened; try again",
}
_COMMAND_ID_PATTERN = (
    f"^{NAME_PATTERN[1:-1]}/{SAGA_ID_PATTERN[1:-1]}/{NAME_PATTERN[1:-1]}/(forward|compensate)/[1-9][0-9]{{0,4}}$"
)


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().partition("\n")[0]


def _channel_reference(topic: str) -> Document:
    return {"$ref": f"#/channels/{topic}"}


def _saga_id() -> Document:
    return {"type": "string", "pattern": SAGA_ID_PATTERN, "description": "The saga's id"}


def _headers(required: Sequence[str], properties: Document) -> Document:
    return {"type": "object", "required": list(required), "properties": properties}


def _core(message_type: str | None) -> Document:
    typed: Document = {"type": "string"} if message_type is None else {"type": "string", "const": message_type}
    return {
        envelope.SPECVERSION: {"type": "string", "const": "1.0"},
        envelope.CONTENT_TYPE: {"type": "string", "const": "application/json"},
        envelope.ID: {"type": "string"},
        envelope.TYPE: typed,
        envelope.SOURCE: {"type": "string"},
    }


def _whole_number(description: str) -> Document:
    return {"type": "string", "pattern": "^[0-9]{1,15}$", "description": description}


def _command_headers(name: str) -> Document:
    core = _core(name)
    core[envelope.ID] = {"type": "string", "pattern": _COMMAND_ID_PATTERN, "description": "The same for every attempt"}
    properties = {
        **core,
        envelope.REPLY_TO: {"type": "string", "description": "The topic to answer to"},
        envelope.ATTEMPT: _whole_number("Counted from 1; echo it"),
        envelope.STARTED: _whole_number("When the saga was accepted, milliseconds since 1970"),
    }
    return _headers(list(properties), properties)


def _reply_headers(outcome: Outcome) -> Document:
    properties: Document = {
        **_core(None),
        envelope.CAUSATION_ID: {
            "type": "string",
            "pattern": _COMMAND_ID_PATTERN,
            "description": "The command's `ce_id`, unchanged",
        },
        envelope.OUTCOME: {"type": "string", "const": outcome.value},
        envelope.CORRELATION_ID: {
            **_saga_id(),
            "description": "The saga's id; required where the key is not the saga's id",
        },
        envelope.ATTEMPT: _whole_number("The command's, echoed"),
    }
    if outcome is Outcome.SUCCESS:
        text = "Of a compensation: `none` says that there was nothing to undo"
        properties[envelope.EFFECT] = {
            "type": "string",
            "enum": [effect.value for effect in Effect],
            "description": text,
        }
    if outcome is Outcome.FAILURE:
        properties[envelope.REASON] = {"type": "string", "examples": [reason.value for reason in Reason]}
    return _headers([envelope.CAUSATION_ID, envelope.OUTCOME], properties)


def _event_headers(name: str) -> Document:
    properties = {**_core(name), envelope.SEQUENCE: _whole_number("The saga's version: it only grows")}
    return _headers(list(properties), properties)


def _dead_letter() -> Document:
    properties: Document = {name: {"type": "string"} for name in sorted(dead_letters.ERROR_HEADERS)}
    properties[dead_letters.CAUSE]["enum"] = sorted(Cause)
    optional = {dead_letters.EXCEPTION_CLASS, dead_letters.TRUNCATED}
    return {
        "name": "deadLetter",
        "summary": "A record that could not be used, with its own key, value and headers, and the cause",
        "headers": _headers(sorted(dead_letters.ERROR_HEADERS - optional), properties),
        "payload": {"description": "The record's own value, whatever it was"},
        "bindings": {"kafka": {"key": {"description": "The record's own key"}, "bindingVersion": BINDING}},
    }
