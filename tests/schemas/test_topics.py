"""Topic names, and which reply topics a service answers to (design §4, R13)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

KAFKA_NAME_LENGTH_MAX = 249


def test_topics_are_called_as_the_contract_says() -> None:
    names = TopicNames()

    assert [
        names.requests("order"),
        names.events("order"),
        names.commands("payment"),
        names.replies_of("payment"),
        dead_letter_topic(names.commands("payment")),
    ] == ["order.requests", "order.events", "payment.commands", "payment.replies", "dlq.payment.commands"]


def test_a_prefix_stands_before_every_name() -> None:
    names = TopicNames(prefix="shop.eu.")

    assert [names.requests("order"), names.events("order"), names.commands("payment"), names.replies_of("payment")] == [
        "shop.eu.order.requests",
        "shop.eu.order.events",
        "shop.eu.payment.commands",
        "shop.eu.payment.replies",
    ]


@pytest.mark.parametrize("prefix", ["shop", ".", "shop..", ".shop.", "sh op.", "shop.\n", "x" * 100 + "."])
def test_a_prefix_ends_with_a_dot_and_is_made_of_words(prefix: str) -> None:
    with pytest.raises(ValidationError):
        TopicNames(prefix=prefix)


@pytest.mark.parametrize(
    "replies", ["{service}.replies", "{service}.replies.store-2", "eu.{service}.replies", "{service}.replies-b"]
)
def test_a_second_store_has_reply_topics_of_its_own_that_services_answer_to_R13(replies: str) -> None:
    names = TopicNames(replies=replies)

    assert names.reply_pattern("payment").match(names.replies_of("payment"))


@pytest.mark.parametrize(
    "replies",
    [
        "replies",
        "{service}",
        "{service}.answers",
        "store2-{service}.replies",
        "{service}{service}.replies",
        "{other}.replies",
    ],
)
def test_a_reply_topic_that_no_service_would_answer_to_is_refused_R13(replies: str) -> None:
    with pytest.raises(ValidationError):
        TopicNames(replies=replies)


@pytest.mark.parametrize(
    "topic",
    [
        "inventory.replies",
        "payment.commands",
        "order.requests",
        "payment.replies\n",
        "xpayment.replies",
        "payment.repliesx",
        "payment/replies",
        "dlq.payment.commands",
        "__consumer_offsets",
        "",
    ],
)
def test_a_service_answers_to_no_topic_but_its_own_reply_topics_R13(topic: str) -> None:
    assert not TopicNames().reply_pattern("payment").match(topic)


def test_a_service_answers_only_below_its_prefix_R13() -> None:
    pattern = TopicNames(prefix="shop.").reply_pattern("payment")

    assert pattern.match("shop.payment.replies")
    assert not pattern.match("payment.replies")
    assert not pattern.match("shopxpayment.replies")


words = st.from_regex(r"[a-zA-Z0-9_\-]{1,8}", fullmatch=True)
names_as_configured = st.builds(
    lambda prefix, before, after: (
        "".join(f"{word}." for word in prefix),
        "".join(f"{word}." for word in before) + "{service}.replies" + "".join(f".{word}" for word in after),
    ),
    st.lists(words, max_size=3),
    st.lists(words, max_size=2),
    st.lists(words, max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(names_as_configured, st.from_regex(r"[a-z][a-z0-9_\-]{0,63}", fullmatch=True))
def test_whatever_is_accepted_is_answered_to_and_fits_kafka_R13(configured: tuple[str, str], service: str) -> None:
    names = TopicNames(prefix=configured[0], replies=configured[1])

    assert names.reply_pattern(service).match(names.replies_of(service))
    assert len(dead_letter_topic(names.replies_of(service))) <= KAFKA_NAME_LENGTH_MAX
