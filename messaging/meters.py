"""Metrics that both rooms have, by the same names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kafka_saga.messaging.dead_letters import STAGE
from kafka_saga.messaging.records import Message
from kafka_saga.runtime.metrics import Meter
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX

DUPLICATES: Final = Meter(
    "saga_messages_duplicate_total", "Messages that had come before, and changed nothing", ("topic",)
)
DEAD_LETTERED: Final = Meter(
    "saga_messages_dead_lettered_total", "Messages that were set aside, by the topic they came on", ("topic", "stage")
)
BATCH_SIZE: Final = Meter("saga_commit_batch_size", "Messages that one transaction took in")
OUTBOX: Final = Meter("saga_outbox_pending", "Messages that are decided and not known to be published")
OUTBOX_AGE: Final = Meter("saga_outbox_oldest_age_seconds", "How long the oldest of them waits; 0 where there is none")


def dead_letter_places(messages: Iterable[Message]) -> list[tuple[str, str]]:
    """Of the dead letters among `messages`: the topic that each came on, and what could not be done with it."""
    return [
        (message.topic.removeprefix(DEAD_LETTER_PREFIX), dict(message.headers).get(STAGE, b"").decode(errors="replace"))
        for message in messages
        if message.topic.startswith(DEAD_LETTER_PREFIX)
    ]
