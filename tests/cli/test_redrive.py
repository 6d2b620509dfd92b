"""`saga dlq redrive` and `saga dlq discard`, as an operator types them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.orchestrator.cli.letters import LETTERS, LetterFlags, read_moment
from kafka_saga.orchestrator.config import Settings
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.topics import TopicNames
from tests.brokers import BrokerUnderTest
from tests.cli.conftest import Run, Saga
from tests.operations.dead_letters.letters import Poison

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

Dlq = Callable[..., Run]
VALUES = [b"1", b"2", b"3"]


@pytest.fixture
def prefix(kafka: BrokerUnderTest) -> str:
    """Under it three requests were set aside, one of them for the third time."""
    prefix = f"redrive-{os.urandom(4).hex()}."
    asyncio.run(_set_aside(kafka.settings, f"{prefix}order.requests"))
    return prefix


@pytest.fixture
def dlq(saga: Saga, kafka: BrokerUnderTest, prefix: str) -> Dlq:
    """Runs `saga dlq …` there."""
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SAGA_TOPICS__PREFIX": prefix}
    return lambda *arguments: saga("dlq", *arguments, **variables)


async def _set_aside(kafka: KafkaSettings, topic: str) -> None:
    await create_topics(kafka, [TopicSpec(name, 1) for name in (topic, f"dlq.{topic}")])
    producer = Producer(kafka)
    for number, value in enumerate(VALUES):
        replays = (("dlq_replay_count", b"2"),) if number == 2 else ()
        poison = Poison(topic, number, value=value, key=b"order-%d" % number, headers=replays)
        cause = "bad_schema" if number else "bad_json"
        letter = dead_letter(poison, cause=cause, message="no", stage="decode", group="g", at_ms=number)
        await producer.publish([letter])
    await producer.stop()


def positions(dlq: Dlq, *arguments: str) -> dict[str, str]:
    rows: list[dict[str, Any]] = dlq("list", "-o", "jsonl", *arguments).rows
    return {row["key"]: row["position"] for row in rows}


def test_a_dry_run_counts_by_topic_and_cause_and_changes_nothing(dlq: Dlq) -> None:
    run = dlq("redrive", "--dry-run", "-o", "json")
    assert run.exit_code == 0, run.err
    assert (run.json["dryRun"], run.json["redriven"], len(run.json["refused"]), run.json["matching"]) == (True, 2, 1, 3)
    assert [(row["cause"], row["redriven"], row["refused"]) for row in run.json["counts"]] == [
        ("bad_json", 1, 0),
        ("bad_schema", 1, 1),
    ]
    assert len(positions(dlq)) == 3


def test_without_a_terminal_it_wants_a_yes(dlq: Dlq) -> None:
    run = dlq("redrive")
    assert (run.exit_code, "add --yes" in run.err) == (2, True)
    assert len(positions(dlq)) == 3


def test_a_redrive_says_what_it_sent_and_refused_and_exits_6(dlq: Dlq) -> None:
    run = dlq("redrive", "--yes", "--reason", "the model is mended", "--actor", "night shift")
    assert run.exit_code == 6
    assert "2 redriven, 1 refused, 0 failed" in run.err
    assert "it came back after 2 redrives" in run.err
    assert list(positions(dlq)) == ["order-2"]
    assert dlq("redrive", "--yes").exit_code == 4
    listed = dlq("list", "--all", "-o", "jsonl").rows
    assert {row["key"]: row["handled"] and row["handled"]["reason"] for row in listed} == {
        "order-0": "the model is mended",
        "order-1": "the model is mended",
        "order-2": None,
    }
    assert "redriven by night shift" in dlq("list", "--all").out
    assert dlq("count", "-o", "jsonl").rows == [{"cause": "bad_schema", "dead letters": 1}]
    assert dlq("redrive", "--force", "--yes").exit_code == 0
    run = dlq("redrive", "--yes")
    assert (run.exit_code, "no open dead letters" in run.err) == (0, True)


def test_one_letter_goes_by_its_position_without_a_question(dlq: Dlq) -> None:
    position = positions(dlq)["order-1"]
    assert dlq("redrive", position).exit_code == 0
    run = dlq("redrive", position)
    assert (run.exit_code, "--again sends it once more" in run.err) == (4, True)
    assert dlq("redrive", position, "--again").exit_code == 0
    assert "redriven by" in dlq("show", position).out
    assert dlq("redrive", position, "--cause", "bad_json").exit_code == 2
    assert dlq("redrive", "--again", "--yes").exit_code == 2


def test_discarding_needs_a_reason_and_leaves_the_rest(dlq: Dlq) -> None:
    assert dlq("discard", "--cause", "bad_schema", "--yes").exit_code == 2
    assert dlq("discard", "--cause", "bad_schema", "--yes", "--reason", " ").exit_code == 2
    run = dlq("discard", "--cause", "bad_schema", "--yes", "--reason", "of a test")
    assert (run.exit_code, "2 discarded, 0 refused, 0 failed" in run.err) == (0, True)
    assert list(positions(dlq)) == ["order-0"]
    assert len(positions(dlq, "--all")) == 3


def test_on_a_shared_cluster_the_letters_of_others_are_left_alone(
    saga: Saga, kafka: BrokerUnderTest, prefix: str
) -> None:
    """Goal: without a prefix, only topics that a saga here needs are looked at, and what was not is said."""
    theirs = f"dlq.{prefix}order.requests"

    def topics_of(*arguments: str) -> set[str]:
        run = saga("dlq", *arguments, "-o", "json", KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers)
        rows: list[dict[str, Any]] = run.json["counts"] if "redrive" in arguments else run.json
        return {row["topic"] for row in rows}

    for question in (("list", "-n", "1000"), ("count", "--by", "topic"), ("redrive", "--dry-run")):
        assert theirs not in topics_of(*question)
        assert theirs in topics_of(*question, "--all-topics")
        assert theirs in topics_of(*question, "--topic", theirs.removeprefix("dlq."))
    run = saga("dlq", "count", KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers)
    assert "dead letter topics of others (see `saga dlq topics`)" in run.err
    listed = saga("dlq", "topics", "-o", "jsonl", KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers).rows
    assert {"topic": theirs, "ours": False} in listed


def test_what_is_ours_are_the_topics_of_our_sagas_or_all_that_have_our_prefix() -> None:
    ours = LETTERS.filter(Settings())
    for topic in ("order.requests", "order.events", "payment.commands", "payment.replies"):
        assert ours.reads(f"dlq.{topic}")
    for topic in ("invoice.requests", "payment.replies.store-2", "shop.order.requests"):
        assert not ours.reads(f"dlq.{topic}")
    assert LetterFlags(every_topic=True).filter(Settings()).reads("dlq.invoice.requests")
    assert LetterFlags(topic="invoice.requests").filter(Settings()).reads("dlq.invoice.requests")
    assert LetterFlags(topic="dlq.invoice.requests").filter(Settings()).reads("dlq.invoice.requests")
    assert LETTERS.filter(Settings(topics=TopicNames(prefix="shop."))).reads("dlq.shop.invoice.requests")


def test_moments_and_lengths_of_time() -> None:
    now = 1_700_000_000_000
    assert read_moment("2h", now) == now - 7_200_000
    assert read_moment("2023-11-14T22:13:20Z", 0) == read_moment("2023-11-14T22:13:20", 0) == now
    assert read_moment("2023-11-14T23:13:20+01:00", 0) == now
    assert read_moment("2023-11-14", 0) == 1_699_920_000_000
    for wrong in ("soon", "2023-13-01", "-2h", ""):
        with pytest.raises(UsageError, match="no moment"):
            read_moment(wrong, now)
