"""Dead letters: what could not be read, kept with its key, value, headers and the cause.

Topic prefix and `__dlq.errors.*` headers are Kafka's own (KIP-1191); what they have no name for is in
`__saga.errors.*`. All values are UTF-8 text, so that any tool shows them.
"""

from __future__ import annotations

from typing import Final

from messaging.records import Message, Record
from runtime import limits
from runtime.clock import rfc3339

DLQ_PREFIX: Final = "dlq."

TOPIC: Final = "__dlq.errors.topic"
PARTITION: Final = "__dlq.errors.partition"
OFFSET: Final = "__dlq.errors.offset"
GROUP: Final = "__dlq.errors.group"
MESSAGE: Final = "__dlq.errors.message"
DELIVERY_COUNT: Final = "__dlq.errors.delivery.count"
CAUSE: Final = "__saga.errors.cause"
STAGE: Final = "__saga.errors.stage"
TIMESTAMP: Final = "__saga.errors.timestamp"
EXCEPTION_CLASS: Final = "__saga.errors.exception.class.name"
TRUNCATED: Final = "__saga.errors.truncated"

ERROR_HEADERS: Final = frozenset(
    {
        TOPIC, PARTITION, OFFSET, GROUP, MESSAGE, DELIVERY_COUNT,
        CAUSE, STAGE, TIMESTAMP, EXCEPTION_CLASS, TRUNCATED,
    }
)  # fmt: skip
"""What a dead letter adds to a record; a replay leaves them out."""


def dead_letter(
    record: Record,
    *,
    cause: str,
    message: str,
    stage: str,
    group: str,
    at_ms: int,
    prefix: str = DLQ_PREFIX,
    delivery_count: int = 1,
    exception_class: str | None = None,
) -> Message:
    """The dead letter of `record`, for the topic `<prefix><its topic>`.

    Headers of an earlier dead letter are replaced. What would pass the broker's limit is cut, and the header
    `__saga.errors.truncated` names what was cut with its original size in bytes (`value=2000000`).

    Args:
        record: what could not be processed.
        cause: one word from a closed set, for metrics and filters.
        message: why, for people.
        stage: where it failed: `decode`, `validate`, `handler` or `publish`.
        group: the consumer group that gave up.
        at_ms: when, in milliseconds since 1970.
        prefix: of the dead letter topic's name.
        delivery_count: how often it was tried.
        exception_class: the exception's name, where an exception was the reason.

    """
    cut: list[str] = []
    value = record.value
    if value is not None and len(value) > limits.DEAD_LETTER_WHOLE_BYTES_MAX:
        cut.append(f"value={len(value)}")
        value = value[: limits.DEAD_LETTER_VALUE_BYTES_MAX]
    key = record.key
    if key is not None and len(key) > limits.HEADERS_BYTES_MAX:
        cut.append(f"key={len(key)}")
        key = key[: limits.HEADERS_BYTES_MAX]
    headers = _original_headers(record, cut)
    added = {
        TOPIC: record.topic,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        GROUP: group,
        MESSAGE: message[: limits.ERROR_TEXT_LENGTH_MAX],
        DELIVERY_COUNT: str(delivery_count),
        CAUSE: cause,
        STAGE: stage,
        TIMESTAMP: rfc3339(at_ms),
    }
    if exception_class is not None:
        added[EXCEPTION_CLASS] = exception_class
    if cut:
        added[TRUNCATED] = " ".join(cut)
    headers += [(name, text.encode(errors="backslashreplace")) for name, text in added.items()]
    return Message(prefix + record.topic, key, value, tuple(headers))


def _original_headers(record: Record, cut: list[str]) -> list[tuple[str, bytes]]:
    """The record's own headers, as many as fit; the original size goes to `cut` when some do not."""
    headers = [(name, value or b"") for name, value in record.headers if name not in ERROR_HEADERS]
    sizes = [len(name.encode(errors="backslashreplace")) + len(value) for name, value in headers]
    if sum(sizes) <= limits.HEADERS_BYTES_MAX:
        return headers
    cut.append(f"headers={sum(sizes)}")
    kept: list[tuple[str, bytes]] = []
    left = limits.HEADERS_BYTES_MAX
    for header, size in zip(headers, sizes, strict=True):
        if size <= left:
            kept.append(header)
            left -= size
    return kept
