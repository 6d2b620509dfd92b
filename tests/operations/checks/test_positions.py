from __future__ import annotations

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.checks.positions import Behind, find_behind, judge_behind

REPLIES, COMMANDS = TopicPartition("order.replies", 2), TopicPartition("order.commands", 0)


def test_a_partition_that_reaches_further_than_it_can_be_read_is_found() -> None:
    stable = {REPLIES: 10, COMMANDS: 5}
    assert find_behind(stable, {REPLIES: 13, COMMANDS: 5, TopicPartition("new", 0): 1}) == {REPLIES: Behind(10, 13)}


def test_what_a_transaction_holds_back_is_named_with_its_consequence_for_timers() -> None:
    (finding,) = judge_behind({REPLIES: Behind(10, 13)}, ["order.replies"])
    assert (finding.verdict, finding.check) == ("warning", "transactions")
    assert finding.found.startswith("3 records cannot be read: order.replies[2] from 10: an open transaction")
    assert finding.remedy.startswith("no timeout fires meanwhile; it goes on when")
    assert finding.details == {"partitions": {"order.replies[2]": [10, 13]}}


def test_commands_that_are_held_back_hold_no_timers() -> None:
    (finding,) = judge_behind({COMMANDS: Behind(5, 6)}, ["order.replies"])
    assert finding.remedy.startswith("it goes on when")
    assert judge_behind({}, ["order.replies"]) == []
