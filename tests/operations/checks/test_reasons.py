"""What `saga explain` says of replies that cannot be read."""

from __future__ import annotations

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.stuck import OPEN_TRANSACTION
from kafka_saga.orchestrator.operations.checks.reasons import held_back_reasons


def test_what_holds_the_timers_is_named_also_where_it_is_another_services() -> None:
    (reason,) = held_back_reasons({TopicPartition("ship.replies", 2)}, {}, "pay.replies")
    assert reason.kind == "replies_held_back"
    assert reason.sentence == (
        f"Replies cannot be read from ship.replies[2]: {OPEN_TRANSACTION}; no timeout fires meanwhile."
    )


def test_a_reply_topic_that_is_gone_or_has_no_leader_is_named_as_what_holds_the_timers() -> None:
    (reason,) = held_back_reasons(set(), {"pay.replies": "the topic does not exist"}, "pay.replies")
    assert reason.sentence == (
        "Replies cannot be read from pay.replies: the topic does not exist; its own may be among them, "
        "and no timeout fires meanwhile."
    )
    assert held_back_reasons(set(), {}, "pay.replies") == []
