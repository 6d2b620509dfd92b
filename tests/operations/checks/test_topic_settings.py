"""Topics that are missing, without a leader, or set up so that messages are lost, refused or outlive the fence."""

from __future__ import annotations

import pytest

from kafka_saga.messaging.inspection import PartitionState
from kafka_saga.messaging.topics import TopicSpec
from kafka_saga.orchestrator.operations.checks.finding import Finding
from kafka_saga.orchestrator.operations.checks.topics import Wanted, judge_topics

DAY = 24 * 3_600_000
DELETE = {"cleanup.policy": "delete"}
COMPACT = {"cleanup.policy": "compact"}
LIVE = ["trip.requests", "seats.commands", "seats.replies"]
WANTED = Wanted(
    specs=[*(TopicSpec(name, 4, DELETE) for name in [*LIVE, "dlq.seats.replies"]), TopicSpec("handled", 1, COMPACT)],
    live=frozenset(LIVE),
    commands=frozenset({"seats.commands"}),
    requests=frozenset({"trip.requests"}),
    fence_ms=30 * DAY,
    purged_ms=30 * DAY,
)  # fmt: skip
WELL = PartitionState(1, 1, 1)
THERE = {spec.name: (WELL,) * spec.partitions for spec in WANTED.specs}
CONFIGS = {spec.name: {"retention.ms": str(7 * DAY), **spec.config} for spec in WANTED.specs}


def judge(**changed: dict[str, str]) -> list[Finding]:
    configs = {name: {**CONFIGS[name], **changed.get(name.replace(".", "_"), {})} for name in CONFIGS}
    return [one for one in judge_topics(WANTED, THERE, configs) if one.verdict != "ok"]


def test_topics_as_they_are_created_are_well() -> None:
    assert [one.verdict for one in judge_topics(WANTED, THERE, CONFIGS)] == ["ok", "ok"]
    assert judge() == []


@pytest.mark.parametrize(
    ("topic", "setting", "verdict", "words"),
    [
        ("trip.requests", {"cleanup.policy": "compact,delete"}, "wrong", "compacted: trip.requests (compact,delete)"),
        ("seats.commands", {"cleanup.policy": "compact"}, "wrong", "compacted: seats.commands"),
        ("handled", {"cleanup.policy": "delete"}, "wrong", "not compacted: handled"),
        ("seats.commands", {"retention.ms": "-1"}, "wrong", "participants remember: seats.commands (for ever)"),
        ("seats.commands", {"retention.ms": str(31 * DAY)}, "wrong", "seats.commands (31 d)"),
        ("seats.commands", {"retention.ms": "3600000"}, "warning", "kept for less than 1 d: seats.commands (1 h)"),
        ("seats.replies", {"retention.ms": "60000"}, "warning", "seats.replies (1 min)"),
        ("trip.requests", {"retention.ms": "60000"}, "warning", "trip.requests (1 min)"),
        ("trip.requests", {"retention.ms": str(90 * DAY)}, "note", "longer than purged ids: trip.requests (90 d)"),
        ("trip.requests", {"retention.bytes": "1000000"}, "warning", "cut by size: trip.requests (1,000,000 bytes"),
        ("seats.replies", {"max.message.bytes": "1000"}, "warning", "seats.replies (1,000 bytes)"),
        ("dlq.seats.replies", {"max.message.bytes": "1000"}, "warning", "dlq.seats.replies (1,000 bytes)"),
        ("seats.commands", {"min.insync.replicas": "2"}, "wrong", "seats.commands (needs 2)"),
    ],
)  # fmt: skip
def test_a_setting_that_costs_messages_is_named(topic: str, setting: dict[str, str], verdict: str, words: str) -> None:
    [finding] = judge(**{topic.replace(".", "_"): setting})
    assert finding.verdict == verdict
    assert words in finding.found
    assert finding.remedy
    assert topic in finding.details["topics"]


def test_fewer_partitions_than_wanted_are_named_with_the_command_that_adds_them() -> None:
    there = {**THERE, "seats.commands": (WELL,), "dlq.seats.replies": (WELL,)}
    [fewer] = [one for one in judge_topics(WANTED, there, CONFIGS) if one.verdict != "ok"]
    assert (fewer.verdict, fewer.details["topics"]) == ("warning", {"seats.commands": 1})
    assert "--topic seats.commands --partitions 4" in fewer.remedy
    more = {**THERE, "seats.commands": (WELL,) * 12}
    assert all(one.verdict == "ok" for one in judge_topics(WANTED, more, CONFIGS))


def test_partitions_that_nobody_leads_and_copies_that_are_behind() -> None:
    there = {**THERE, "seats.commands": (PartitionState(-1, 3, 0), PartitionState(2, 3, 2), WELL, WELL)}
    headless, behind = [one for one in judge_topics(WANTED, there, CONFIGS) if one.check == "partitions"]
    assert (headless.verdict, headless.details) == ("wrong", {"partitions": ["seats.commands[0]"]})
    assert (behind.verdict, behind.details) == ("warning", {"partitions": ["seats.commands[1]"]})


def test_missing_topics_are_one_line_and_the_rest_is_still_judged() -> None:
    there = {name: states for name, states in THERE.items() if name != "seats.commands"}
    configs = {name: config for name, config in CONFIGS.items() if name in there}
    missing, settings = judge_topics(WANTED, there, configs)
    assert (missing.verdict, missing.details["missing"]) == ("wrong", ["seats.commands"])
    assert settings.verdict == "ok"


def test_the_embedded_broker_tells_no_settings() -> None:
    assert [one.verdict for one in judge_topics(WANTED, THERE, None)] == ["ok", "note"]
