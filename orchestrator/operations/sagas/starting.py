"""Starting one saga for somebody who may ask twice: the saga's id makes it one, here as in the orchestrator (R3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kafka_saga.messaging.errors import PublishRefusedError, UnknownTopicError
from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.operations.sagas.requests import Request
from kafka_saga.orchestrator.store.reader import StoreReader, was_purged
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.codec import decode_canonical
from kafka_saga.schemas.ids import SagaRef


class Begun(StrEnum):
    """What a start came to."""

    ACCEPTED = "accepted"
    """Its request is in Kafka; the orchestrator takes it from there."""
    EXISTS = "exists"
    """The saga began earlier, with the same request."""


@dataclass(frozen=True, slots=True)
class Started:
    """A saga that was asked for."""

    ref: SagaRef
    begun: Begun


class Publishing(Protocol):
    """Publishes messages."""

    async def publish(self, messages: list[Message]) -> None:
        """Store all on the brokers before returning."""
        ...


def request_hash(request: Request) -> bytes:
    """What the orchestrator compares requests by."""
    _document, canonical = decode_canonical(request.message.value)
    return hashlib.sha256(canonical).digest()


async def start(reader: StoreReader, producer: Publishing, request: Request) -> Started:
    """Publish the request, unless its saga is there already.

    Raises:
        ConflictError: a saga of that id began with another request.
        UnknownTopicError: there is no topic for it.
        PublishRefusedError, BrokerUnavailableError: the broker does not take it.

    """
    ref = request.ref
    hashed = request_hash(request)
    known = await reader.request_hash(ref)
    if known is None:
        gone = await reader.find_purged(ref.saga_id, ref.saga_type)
        if gone is not None:
            _check_same(hashed, gone.request_hash, f"saga {ref} {was_purged(gone)}")
            return Started(ref, Begun.EXISTS)
        try:
            await producer.publish([request.message])
        except PublishRefusedError as error:
            if error.reason == "unknown_topic":
                raise UnknownTopicError([error.topic]) from error
            raise
        return Started(ref, Begun.ACCEPTED)
    _check_same(hashed, known, f"saga {ref} is there already")
    return Started(ref, Begun.EXISTS)


def _check_same(ours: bytes, theirs: bytes, what: str) -> None:
    if ours != theirs:
        raise ConflictError(f"{what}, with another request: one id is one saga", what="sagas")
