"""Whether a saga is the one that a request asks for: one id is one saga, whoever asked first (R3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.sensitive import MASK


def contradicts(value: bytes, accepted: Any) -> bool:
    """Whether a saga was accepted with another request than `value`, as far as both say something.

    `accepted` is the request as the orchestrator's model wrote it, which may be of another version: a field that only
    one of them has says nothing.
    """
    return isinstance(accepted, Mapping) and not _agree(decode_trusted(value), accepted)


def another_request(ref: SagaRef) -> str:
    """What whoever asked is told then."""
    return f"saga {ref} exists with another request; a new request needs a new id"


def _agree(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return all(_agree(content, theirs[name]) for name, content in ours.items() if name in theirs)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_agree, ours, theirs))
    return theirs == MASK or bool(ours == theirs)
