from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.dead_letters import ERROR_HEADERS, dead_letter
from messaging.producer import Producer
from messaging.records import Message, Record
from messaging.unreadable import UnreadableRecord
from runtime import limits
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import Read, make_topic, read


@dataclass(frozen=True)
class FakeRecord:
    topic: str = "inventory.replies"
    partition: int = 3
    offset: int = 41
    key: bytes | None = b"order-1"
    value: bytes | None = b"{not json"
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = 0
    extra: dict[str, str] = field(default_factory=dict)


def letter_of(record: Record, **more: str) -> Message:
    return dead_letter(
        record, cause="bad_json", message="line 1: ü", stage="decode", group="orders", at_ms=1_700_000_000_123, **more
    )


def test_a_dead_letter_keeps_the_record_and_tells_where_it_was_and_why() -> None:
    letter = letter_of(FakeRecord(headers=(("ce_id", b"1"), ("ce_id", b"2"), ("empty", None))))
    assert (letter.topic, letter.key, letter.value) == ("dlq.inventory.replies", b"order-1", b"{not json")
    assert letter.headers == (
        ("ce_id", b"1"),
        ("ce_id", b"2"),
        ("empty", b""),
        ("__dlq.errors.topic", b"inventory.replies"),
        ("__dlq.errors.partition", b"3"),
        ("__dlq.errors.offset", b"41"),
        ("__dlq.errors.group", b"orders"),
        ("__dlq.errors.message", "line 1: ü".encode()),
        ("__dlq.errors.delivery.count", b"1"),
        ("__saga.errors.cause", b"bad_json"),
        ("__saga.errors.stage", b"decode"),
        ("__saga.errors.timestamp", b"2023-11-14T22:13:20.123Z"),
    )


def test_headers_of_an_earlier_dead_letter_are_replaced() -> None:
    first = letter_of(FakeRecord(), exception_class="ValueError")
    again = letter_of(FakeRecord(topic="inventory.replies", offset=99, headers=first.headers))
    names = [name for name, _ in again.headers]
    assert len(names) == len(set(names))
    assert dict(again.headers)["__dlq.errors.offset"] == b"99"
    assert "__saga.errors.exception.class.name" not in names


def test_what_is_too_large_is_cut_and_the_letter_says_so() -> None:
    record = FakeRecord(
        key=b"k" * 20_000, value=b"v" * 2_000_000, headers=(("small", b"s"), ("large", b"h" * 30_000), ("last", b"l"))
    )
    letter = letter_of(record)
    headers = dict(letter.headers)
    assert letter.value == b"v" * limits.DEAD_LETTER_VALUE_BYTES_MAX
    assert letter.key == b"k" * limits.HEADERS_BYTES_MAX
    assert headers["__saga.errors.truncated"] == b"value=2000000 key=20000 headers=30016"
    assert (headers["small"], headers["last"], "large" in headers) == (b"s", b"l", False)


def test_a_value_within_the_limit_is_kept_whole() -> None:
    value = b"v" * limits.DEAD_LETTER_WHOLE_BYTES_MAX
    letter = letter_of(FakeRecord(value=value))
    assert letter.value == value
    assert "__saga.errors.truncated" not in dict(letter.headers)


def test_prefix_and_count_are_the_callers() -> None:
    letter = letter_of(UnreadableRecord("orders", 0, 7, "broken"), prefix="shop.dlq.")
    assert (letter.topic, letter.key, letter.value) == ("shop.dlq.orders", None, None)


@given(
    st.lists(st.tuples(st.text() | st.sampled_from(sorted(ERROR_HEADERS)), st.none() | st.binary(max_size=9_000))),
    st.none() | st.binary(max_size=200),
    st.text(max_size=5_000),
)
def test_every_dead_letter_is_small_enough_and_has_each_error_header_once(
    headers: list[tuple[str, bytes | None]], key: bytes | None, text: str
) -> None:
    letter = dead_letter(
        FakeRecord(key=key, headers=tuple(headers)), cause="c", message=text, stage="decode", group="g", at_ms=0
    )
    size = sum(len(name.encode(errors="replace")) + len(value) for name, value in letter.headers)
    assert size < 2 * limits.HEADERS_BYTES_MAX
    ours = [name for name, _ in letter.headers if name in ERROR_HEADERS]
    assert len(ours) == len(set(ours))


@pytest.mark.kafka
async def test_the_largest_dead_letter_passes_the_broker(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    source = topic_prefix + "orders"
    topic = await make_topic(broker, "dlq." + source)
    record = FakeRecord(
        topic=source,
        key=b"k" * limits.HEADERS_BYTES_MAX,
        value=b"v" * limits.DEAD_LETTER_WHOLE_BYTES_MAX,
        headers=tuple((f"h{number}", b"x" * 1_000) for number in range(16)),
    )
    letter = letter_of(record)
    await producer.publish([letter])
    (found,) = await read(await reading(broker, topic), 1)
    assert (found.key, found.value, tuple(found.headers)) == (letter.key, letter.value, letter.headers)
