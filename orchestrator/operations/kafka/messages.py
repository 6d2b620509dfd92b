"""Messages for people: what a record on one of our topics is, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from kafka_saga.messaging import dead_letters
from kafka_saga.messaging.records import Record
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.operations.kafka.masking import MessageMasks
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas import envelope
from kafka_saga.schemas.codec import decode_object, decode_trusted
from kafka_saga.schemas.ids import CommandId, SagaRef, check_saga_id, parse_command_id
from kafka_saga.schemas.sensitive import redacted
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames, dead_letter_topic


class Kind(StrEnum):
    """What a message is for."""

    REQUEST = "request"
    COMMAND = "command"
    REPLY = "reply"
    EVENT = "event"
    DEAD_LETTER = "dead letter"
    OTHER = "message"


def topics_of(registry: Registry, topics: TopicNames, definition: Definition | None = None) -> list[str]:
    """Every topic that messages of a saga, or of all registered ones, are on; dead letters included."""
    types = registry.saga_types if definition is None else [definition.saga_type]
    services = (
        registry.services if definition is None else list(dict.fromkeys(step.service for step in definition.steps))
    )
    live = [topics.requests(saga_type) for saga_type in types]
    for service in services:
        live += [topics.commands(service), topics.replies_of(service)]
    return [
        *live,
        *(topics.events(saga_type) for saga_type in types),
        *(dead_letter_topic(topic) for topic in live),
    ]


class IdFields(dict[str, str]):
    """The field of a request that is its saga's id, by the topic of requests: the key says nothing where there is one.

    Attributes:
        masks: what is hidden of the values of messages; None shows them whole.
        secrets: what is hidden of sagas that are known, to be found again in what participants say of them.

    """

    def __init__(self, fields: Mapping[str, str] = MappingProxyType({}), masks: MessageMasks | None = None) -> None:
        super().__init__(fields)
        self.masks = masks
        self.secrets: dict[SagaRef, frozenset[str] | None] = {}

    def shown(self, topic: str, headers: Mapping[str, str], command: CommandId | None, value: Any) -> Any:
        """The value of a message as it is shown."""
        if self.masks is None:
            return value
        of = None if command is None else SagaRef(command.saga_type, command.saga_id)
        return self.masks.shown(topic, headers, command, value, None if of is None else self.secrets.get(of))


NO_FIELDS = IdFields()


def id_fields(registry: Registry, topics: TopicNames, *, reveals: bool = False) -> IdFields:
    """Where the requests of the registered sagas carry the saga's id; what is sensitive is masked or, noted, shown."""
    active = [definition for saga_type in registry.saga_types if (definition := registry.active(saga_type)) is not None]
    fields = {topics.requests(one.saga_type): one.id_from for one in active if one.id_from is not None}
    return IdFields(fields, None if reveals else MessageMasks(registry, topics))


def describe(record: Record, fields: IdFields = NO_FIELDS) -> dict[str, Any]:
    """A record as one JSON object: where it lies, what it is, its headers and its value."""
    headers = {name: text_of(value) for name, value in record.headers}
    command, value, masks = _command(headers), value_of(record.value), fields.masks
    if masks is not None and dead_letters.MESSAGE in headers:
        secrets = masks.secrets(record.topic, command, value)
        headers |= {name: redacted(headers[name], secrets) for name in dead_letters.ERROR_HEADERS & headers.keys()}
    described: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": rfc3339(max(0, record.timestamp)),
        "kind": kind_of(record, headers).value,
        "key": text_of(record.key),
        "type": headers.get(envelope.TYPE),
        "sagaId": _saga_id(record, headers, command, fields),
    }
    if command is not None:
        described |= {"step": command.step, "phase": command.phase.value, "epoch": command.epoch}
    for name, header in (
        ("attempt", envelope.ATTEMPT),
        ("outcome", envelope.OUTCOME),
        ("effect", envelope.EFFECT),
        ("reason", envelope.REASON),
        ("cause", dead_letters.CAUSE),
        ("message", dead_letters.MESSAGE),
    ):
        if header in headers:
            described[name] = headers[header]
    described["headers"] = headers
    described["value"] = fields.shown(record.topic, headers, command, value)
    return described


def concerns(record: Record, saga_id: str, fields: IdFields = NO_FIELDS) -> bool:
    """Whether a record is about this saga: by its key, its correlation id, its command's id, or a request's own id."""
    if record.key is not None and record.key == saga_id.encode():
        return True
    headers = {name: text_of(value) for name, value in record.headers}
    return _saga_id(record, headers, _command(headers), fields) == saga_id


def kind_of(record: Record, headers: dict[str, str]) -> Kind:
    """What a record is for, by its topic and headers."""
    if record.topic.startswith(DEAD_LETTER_PREFIX):
        return Kind.DEAD_LETTER
    if envelope.OUTCOME in headers:
        return Kind.REPLY
    if envelope.REPLY_TO in headers:
        return Kind.COMMAND
    if envelope.SEQUENCE in headers:
        return Kind.EVENT
    return Kind.REQUEST if record.topic.endswith(".requests") else Kind.OTHER


def value_of(value: bytes | None) -> Any:
    """A value as the JSON it is, or as text."""
    if value is None:
        return None
    try:
        return decode_trusted(value)
    except ValueError:
        return text_of(value)


def text_of(data: bytes | None) -> str:
    """Bytes as text; what is not UTF-8 is shown as escapes."""
    return "" if data is None else data.decode(errors="backslashreplace")


def kcat_commands(
    bootstrap_servers: str,
    topics: Sequence[str],
    *,
    saga_id: str | None,
    from_end: bool,
    fields: IdFields = NO_FIELDS,
) -> list[str]:
    """The kcat commands that show the same."""
    where = "end" if from_end else "beginning -e"
    if saga_id is None:
        shape = r"'%T %t[%p]@%o %k\n  %h\n  %s\n'"
        return [f"kcat -C -b {bootstrap_servers} -t {topic} -o {where} -f {shape}" for topic in topics]
    check_saga_id(saga_id)  # it is put between a shell's quotes
    return [
        f"kcat -C -b {bootstrap_servers} -t {topic} -o {where} -J | {_jq(topic, saga_id, fields)}" for topic in topics
    ]


def _jq(topic: str, saga_id: str, fields: IdFields) -> str:
    """What chooses the messages of one saga: by their key, or by the id in a request."""
    field = fields.get(topic.removeprefix(DEAD_LETTER_PREFIX))
    carries = "" if field is None else f' or (.payload.{field}?)=="{saga_id}"'
    # Not `|=` with `//`: jq 1.6 drops the payload then.
    return f"""jq -c '.payload=((.payload|fromjson?) // .payload) | select(.key=="{saga_id}"{carries})'"""


def _command(headers: dict[str, str]) -> CommandId | None:
    text = headers.get(envelope.CAUSATION_ID) or headers.get(envelope.ID, "")
    try:
        return parse_command_id(text)
    except ContractError:
        return None


def _saga_id(record: Record, headers: dict[str, str], command: CommandId | None, fields: IdFields) -> str | None:
    if command is not None:
        return command.saga_id
    field = fields.get(record.topic.removeprefix(DEAD_LETTER_PREFIX))
    own = None if field is None else _requested_id(record, field)
    return own or headers.get(envelope.CORRELATION_ID) or (None if record.key is None else text_of(record.key))


def _requested_id(record: Record, field: str) -> str | None:
    """The saga's id that a request carries, as far as it can be read."""
    try:
        headers = {name: value for name, value in record.headers if value is not None}
        found = decode_object(envelope.unwrap_structured(headers, record.value)[1]).get(field)
    except ContractError:
        return None
    return found if isinstance(found, str) else None
