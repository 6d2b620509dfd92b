"""Requests as an operator brings them: checked against the definition before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.errors import ContractError, UsageError
from kafka_saga.schemas.codec import decode_brought, decode_model, encode
from kafka_saga.schemas.envelope import actor_headers
from kafka_saga.schemas.ids import SagaRef, check_saga_id
from kafka_saga.schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Request:
    """A saga that is going to be asked for."""

    saga_type: str
    saga_id: str
    message: Message

    @property
    def ref(self) -> SagaRef:
        """The saga's identity."""
        return SagaRef(self.saga_type, self.saga_id)


def definition_of(registry: Registry, saga_type: str) -> Definition:
    """The definition that starts sagas of this type.

    Raises:
        UsageError: none is registered.

    """
    definition = registry.active(saga_type)
    if definition is None:
        known = ", ".join(registry.saga_types)
        raise UsageError(f"there is no saga '{saga_type}': it is one of {known}; --app MODULE registers more")
    return definition


def prepare(
    definition: Definition,
    topics: TopicNames,
    documents: Sequence[Any],
    *,
    saga_id: str | None,
    origin: str,
    actor: str,
) -> list[Request]:
    """The messages that ask for sagas.

    Args:
        definition: whose request model they must fit.
        topics: how topics are called.
        documents: the requests, as JSON documents.
        saga_id: the saga's id, where the request does not carry it.
        origin: where they come from, for complaints.
        actor: who asks: the orchestrator keeps the start among the acts.

    Raises:
        UsageError: the first one that would become a dead letter, and why.

    """
    if saga_id is not None and len(documents) > 1:
        raise UsageError(f"--id names one saga, and {origin} has {len(documents)} requests")
    topic, headers = topics.requests(definition.saga_type), actor_headers(actor)
    found = []
    for place, document in enumerate(documents, 1):
        where = origin if len(documents) == 1 else f"{origin}, request {place}"
        identity, value = _prepared(definition, document, saga_id, where)
        found.append(Request(definition.saga_type, identity, Message(topic, identity.encode(), value, headers)))
    return found


def read_documents(text: bytes, origin: str) -> list[Any]:
    """One JSON document, the members of one array, or one document a line.

    Raises:
        UsageError: it is none of these.

    """
    try:
        found = decode_brought(text)
    except ContractError as error:
        raise UsageError(f"{origin}: {error}") from error
    except ValueError:
        found = list(_read_lines(text, origin))
    documents = found if isinstance(found, list) else [found]
    if not documents:
        raise UsageError(f"{origin} has no request")
    return documents


def _read_lines(text: bytes, origin: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield decode_brought(line)
            except ContractError as error:
                raise UsageError(f"{origin}, line {number}: {error}") from error
            except ValueError as error:
                raise UsageError(f"{origin}, line {number}: it is not JSON: {error}") from error


def _prepared(definition: Definition, document: Any, saga_id: str | None, where: str) -> tuple[str, bytes]:
    """The saga's id, and the request as it travels."""
    value = encode(document)
    try:
        decode_model(definition.request, value)
        carried = document.get(definition.id_from) if definition.id_from is not None else None
        if carried is not None and saga_id is not None and carried != saga_id:
            raise UsageError(f"{where}: its {definition.id_from} is {carried}, not {saga_id}")
        identity = carried if carried is not None else saga_id
        if identity is None:
            raise UsageError(f"{where}: it does not say the saga's id: give it with --id")
        return check_saga_id(identity), value
    except ContractError as error:
        raise UsageError(f"{where}: {error}") from error
