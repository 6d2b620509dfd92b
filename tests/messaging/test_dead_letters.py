from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_saga.messaging.dead_letters import ERROR_HEADERS, dead_letter, instead_of, replay_count, replay_of
from kafka_saga.messaging.errors import PublishRefusedError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.unreadable import UnreadableRecord
from kafka_saga.runtime import limits
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


def test_what_no_client_could_read_says_so() -> None:
    letter = letter_of(UnreadableRecord("orders", 0, 7, "broken"))
    assert (letter.topic, letter.key, letter.value) == ("dlq.orders", None, None)
    assert dict(letter.headers)["__saga.errors.truncated"] == b"record=unreadable"


def as_record(letter: Message, offset: int = 5) -> FakeRecord:
    return FakeRecord(topic=letter.topic, offset=offset, key=letter.key, value=letter.value, headers=letter.headers)


def test_a_replay_is_the_original_record_with_its_replays_counted() -> None:
    original = FakeRecord(headers=(("ce_id", b"1"), ("x", b"a"), ("x", b"b")))
    first = replay_of(as_record(letter_of(original)))
    assert first == Message(
        original.topic, original.key, original.value, (*original.headers, ("dlq_replay_count", b"1"))
    )
    second = replay_of(as_record(letter_of(FakeRecord(headers=first.headers))))
    assert second.headers == (*original.headers, ("dlq_replay_count", b"2"))


def test_the_count_of_replays_survives_among_headers_that_do_not_fit() -> None:
    headers = (("large", b"h" * 16_000), ("other", b"h" * 16_000), ("dlq_replay_count", b"2"))
    letter = letter_of(FakeRecord(headers=headers))
    assert replay_count(letter.headers) == 2
    assert [name for name, _ in letter.headers][:2] == ["dlq_replay_count", "large"]


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"9" * 5_000, None, b"\xff"])
def test_a_count_of_replays_that_is_none_counts_as_never(value: bytes | None) -> None:
    assert replay_count([("dlq_replay_count", value)]) == 0


def test_a_letter_cannot_choose_where_it_goes() -> None:
    forged = FakeRecord(topic="dlq.order.requests", headers=(("__dlq.errors.topic", b"payment.commands"),))
    assert replay_of(forged).topic == "order.requests"


def too_large(topic: str) -> PublishRefusedError:
    return PublishRefusedError(topic, "too_large", "larger than max.message.bytes", ())


def test_a_refused_message_becomes_a_dead_letter_like_any_other() -> None:
    message = Message("payment.commands", b"order-1", b"v" * 2_000_000, (("ce_id", b"1"),))
    letter = instead_of(message, too_large("payment.commands"), 1_700_000_000_123)
    assert letter is not None
    headers = dict(letter.headers)
    assert (letter.topic, letter.key) == ("dlq.payment.commands", b"order-1")
    assert letter.value == b"v" * limits.DEAD_LETTER_VALUE_BYTES_MAX
    assert headers["__saga.errors.truncated"] == b"value=2000000"
    assert (headers["ce_id"], headers["__saga.errors.cause"], headers["__saga.errors.stage"]) == (
        b"1", b"too_large", b"publish",
    )  # fmt: skip


def test_a_refused_dead_letter_is_kept_as_its_first_bytes_once() -> None:
    record = FakeRecord(
        key=b"k" * 2_000, value=b"v" * 2_000_000, headers=(("own", b"h" * 500), ("dlq_replay_count", b"1"))
    )
    letter = letter_of(record)
    kept = instead_of(letter, too_large(letter.topic), 0)
    assert kept is not None
    headers = dict(kept.headers)
    assert (kept.topic, kept.key, kept.value) == (letter.topic, b"k" * 1_024, b"v" * 1_024)
    assert headers["__saga.errors.truncated"] == b"value=2000000 headers=503 key=2000"
    assert headers["__saga.errors.cause"] == b"bad_json"
    assert (replay_count(kept.headers), "own" in headers) == (1, False)
    assert instead_of(kept, too_large(letter.topic), 0) is None
    other = PublishRefusedError(letter.topic, "refused", "policy", ())
    assert instead_of(letter, other, 0) is None


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
