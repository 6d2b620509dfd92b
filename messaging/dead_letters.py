"""Dead letters: what could not be read, kept with its key, value, headers and the cause; and how one goes back.

Topic prefix and `__dlq.errors.*` headers are Kafka's own (KIP-1191); what they have no name for is in
`__saga.errors.*`. All values are UTF-8 text, so that any tool shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.unreadable import UnreadableRecord
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, dead_letter_topic

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

REPLAY_COUNT: Final = "dlq_replay_count"
"""How often a record was published again from a dead letter. It stays on the record, so that a letter that comes
back tells of it."""

Headers = tuple[tuple[str, bytes], ...]


def dead_letter(
    record: Record,
    *,
    cause: str,
    message: str,
    stage: str,
    group: str,
    at_ms: int,
    delivery_count: int = 1,
    exception_class: str | None = None,
) -> Message:
    """The dead letter of `record`, for the topic `dlq.<its topic>`.

    Headers of an earlier dead letter are replaced. What would pass the broker's limit is cut, and the header
    `__saga.errors.truncated` names what was cut with its original size in bytes (`value=2000000`).

    Args:
        record: what could not be processed.
        cause: one word from a closed set, for metrics and filters.
        message: why, for people.
        stage: where it failed: `decode`, `validate`, `handler` or `publish`.
        group: the consumer group that gave up.
        at_ms: when, in milliseconds since 1970.
        delivery_count: how often it was tried.
        exception_class: the exception's name, where an exception was the reason.

    """
    added = {
        TOPIC: record.topic,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        GROUP: group,
        MESSAGE: message,
        DELIVERY_COUNT: str(delivery_count),
        CAUSE: cause,
        STAGE: stage,
        TIMESTAMP: rfc3339(at_ms),
    }
    if exception_class is not None:
        added[EXCEPTION_CLASS] = exception_class
    cut = ["record=unreadable"] if isinstance(record, UnreadableRecord) else []
    return _letter(record.topic, record.key, record.value, record.headers, added=added, cut=cut)


def instead_of(message: Message, error: PublishRefusedError, at_ms: int) -> Message | None:
    """What to publish instead of `message`, which the broker will never take for the reason in `error`.

    That is its dead letter; of a dead letter that is too large even so (its topic takes less than others) the first
    bytes with the cause. None where nothing is left to cut, or size is not the reason.
    """
    if not message.topic.startswith(DEAD_LETTER_PREFIX):
        added = {
            TOPIC: message.topic,
            MESSAGE: str(error),
            CAUSE: error.reason,
            STAGE: "publish",
            TIMESTAMP: rfc3339(at_ms),
        }
        return _letter(message.topic, message.key, message.value, message.headers, added=added, cut=[])
    remnant = _remnant(message)
    return None if error.reason != "too_large" or remnant == message else remnant


def replay_of(letter: Record) -> Message:
    """The record that `letter` was made of, for its original topic, with its replay counted.

    The letter's topic says what the original topic was, and nothing in its headers can change that.
    """
    own = tuple((name, value or b"") for name, value in letter.headers if name not in {*ERROR_HEADERS, REPLAY_COUNT})
    count = b"%d" % (replay_count(letter.headers) + 1)
    return Message(
        letter.topic.removeprefix(DEAD_LETTER_PREFIX), letter.key, letter.value, (*own, (REPLAY_COUNT, count))
    )


def replay_count(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """How often the record with these headers was published again; what is no number counts as never."""
    value = dict(headers).get(REPLAY_COUNT) or b""
    return int(value) if value.isdigit() and len(value) < _REPLAY_DIGITS_MAX else 0


_REPLAY_DIGITS_MAX = 10


def _letter(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    original: Sequence[tuple[str, bytes | None]],
    *,
    added: dict[str, str],
    cut: list[str],
) -> Message:
    if value is not None and len(value) > limits.DEAD_LETTER_WHOLE_BYTES_MAX:
        cut.append(f"value={len(value)}")
        value = value[: limits.DEAD_LETTER_VALUE_BYTES_MAX]
    if key is not None and len(key) > limits.HEADERS_BYTES_MAX:
        cut.append(f"key={len(key)}")
        key = key[: limits.HEADERS_BYTES_MAX]
    headers = _original_headers(original, cut)
    added[MESSAGE] = added[MESSAGE][: limits.ERROR_TEXT_LENGTH_MAX]
    if cut:
        added[TRUNCATED] = " ".join(cut)
    headers += [(name, text.encode(errors="backslashreplace")) for name, text in added.items()]
    return Message(dead_letter_topic(topic), key, value, tuple(headers))


def _original_headers(original: Sequence[tuple[str, bytes | None]], cut: list[str]) -> list[tuple[str, bytes]]:
    """The record's own headers, as many as fit; the original size goes to `cut` when some do not."""
    headers = [(name, value or b"") for name, value in original if name not in ERROR_HEADERS]
    sizes = [len(name.encode(errors="backslashreplace")) + len(value) for name, value in headers]
    if sum(sizes) <= limits.HEADERS_BYTES_MAX:
        return headers
    cut.append(f"headers={sum(sizes)}")
    count = replay_count(headers)
    # A record that comes back again and again must not lose its count among headers that do not fit.
    kept: list[tuple[str, bytes]] = [(REPLAY_COUNT, b"%d" % count)] if count else []
    left = limits.HEADERS_BYTES_MAX
    for (name, value), size in zip(headers, sizes, strict=True):
        if size <= left and name != REPLAY_COUNT:
            kept.append((name, value))
            left -= size
    return kept


def _remnant(letter: Message) -> Message:
    """The first bytes of a letter's key and value, and only the headers that say what it was."""
    cut = dict(part.split("=", 1) for part in _text(letter.headers, TRUNCATED).split() if "=" in part)
    own = [(name, value) for name, value in letter.headers if name not in ERROR_HEADERS and name != REPLAY_COUNT]
    if own:
        cut.setdefault(
            "headers", str(sum(len(name.encode(errors="backslashreplace")) + len(value) for name, value in own))
        )
    first = limits.DEAD_LETTER_REMNANT_BYTES_MAX
    parts: list[bytes | None] = []
    for name, part in (("key", letter.key), ("value", letter.value)):
        if part is not None and len(part) > first:
            cut.setdefault(name, str(len(part)))
        parts.append(part if part is None else part[:first])
    kept = tuple(
        (name, value) for name, value in letter.headers if name in {*ERROR_HEADERS, REPLAY_COUNT} and name != TRUNCATED
    )
    if cut:
        kept += ((TRUNCATED, " ".join(f"{name}={size}" for name, size in cut.items()).encode()),)
    return Message(letter.topic, parts[0], parts[1], kept)


def _text(headers: Headers, name: str) -> str:
    return dict(headers).get(name, b"").decode(errors="replace")
