"""What is known of a saga that has not ended in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka_saga.runtime.wording import duration
from kafka_saga.schemas.ids import SagaRef

if TYPE_CHECKING:
    from kafka_saga.client.reader import EventReader
    from kafka_saga.client.waiters import Waiter

_SILENT_MS = 3_000


def why_not(ref: SagaRef, timeout_ms: int, reader: EventReader, waiter: Waiter | None, *, asked_for: bool) -> str:
    """A sentence for whoever waited `timeout_ms` for a saga's end; `asked_for` says that the same call started it."""
    return f"saga {ref} had not ended after {duration(timeout_ms)}{_known(ref, reader, waiter, asked_for=asked_for)}"


def _known(ref: SagaRef, reader: EventReader, waiter: Waiter | None, *, asked_for: bool) -> str:
    window = duration(reader.window_ms)
    ask = f"`saga show {ref.saga_id}` tells"
    if waiter is None:
        so = "its request was not sent; run the same one again" if asked_for else "nothing is known of it"
        return f"; Kafka has not answered yet, so {so}"
    if asked_for and not waiter.was_sent:
        return ": Kafka has not confirmed its request, which may be stored or not; run the same one again"
    if reader.silent_ms > _SILENT_MS:
        return f", as far as is known: Kafka has not answered for {duration(reader.silent_ms)}"
    if waiter.last_event is not None:
        return f", and goes on: the last it told is {waiter.last_event}; `saga explain {ref.saga_id}` says more"
    if reader.is_behind:
        return f": what was told in the last {window} is still being read; ask again"
    asked = ": its request is stored, and" if asked_for else ", and"
    does = "does the orchestrator run" if asked_for else "was it asked for"
    return f"{asked} nothing was heard of it: {does}, or did it end more than {window} ago? {ask}"
