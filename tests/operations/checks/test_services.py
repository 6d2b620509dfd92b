"""Whether a service's commands are read: what is said of every mix of signs, and that idleness is never an alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.inspection import PartitionState
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.checks.services import (
    PATIENCE_MS_MAX,
    PATIENCE_MS_MIN,
    Reading,
    Waiting,
    Worker,
    judge_service,
)
from kafka_saga.orchestrator.operations.checks.topology import Topology
from kafka_saga.orchestrator.operations.checks.workers import Database, make_reading
from kafka_saga.schemas.topics import TopicNames

NOW = 1_800_000_000_000
LATE = PATIENCE_MS_MIN + 5_001
NONE_PATH = Path("data/seats.db")
NONE = Worker("none", "data/seats.db")
RUNS = Worker("runs", "participant seats (process 7)")


def waiting(for_ms: int = LATE, timeout_ms: int = 5_000, *, parked: bool = False) -> Waiting:
    return Waiting(3, "trip-1", NOW - for_ms, timeout_ms, parked)


IDLE = Reading("seats", "seats.commands", "seats", commands=20)
BEHIND = replace(IDLE, unread=12, waiting=waiting())
UNKNOWN_GROUP = replace(IDLE, unread=None)


@pytest.mark.parametrize(
    ("reading", "verdict", "words"),
    [
        pytest.param(IDLE, "ok", "all commands of seats.commands are read", id="idle"),
        pytest.param(replace(IDLE, worker=RUNS), "ok", "process 7) runs", id="idle, its worker seen"),
        pytest.param(replace(IDLE, unread=12), "ok", "12 commands unread", id="a lost commit hint, and nobody waits"),
        pytest.param(
            replace(IDLE, worker=NONE), "warning", "no worker runs for seats.commands", id="idle, worker dead"
        ),
        pytest.param(BEHIND, "wrong", "nobody reads seats.commands: 12 commands unread; 3 sagas wait", id="no reader"),
        pytest.param(replace(BEHIND, worker=NONE), "wrong", "no process holds data/seats.db", id="worker known dead"),
        pytest.param(replace(BEHIND, worker=RUNS), "wrong", "process 7) runs", id="worker hangs"),
        pytest.param(replace(BEHIND, moved=True), "warning", "lags on seats.commands", id="lags"),
        pytest.param(replace(BEHIND, replied=True), "warning", "lags on seats.commands", id="lags, seen by replies"),
        pytest.param(replace(BEHIND, paused=True), "ok", "12 commands unread", id="paused"),
        pytest.param(replace(BEHIND, waiting=waiting(900)), "ok", "12 commands unread", id="in the middle of work"),
        pytest.param(replace(BEHIND, waiting=waiting(900), worker=NONE), "wrong", "nobody reads", id="just died"),
        pytest.param(
            replace(BEHIND, waiting=waiting(30_000, 3_600_000)),
            "ok",
            "12 commands unread",
            id="a step that takes hours",
        ),
        pytest.param(
            replace(BEHIND, waiting=waiting(PATIENCE_MS_MAX + 1, 3_600_000)),
            "wrong",
            "nobody reads",
            id="no call that long",
        ),
        pytest.param(
            replace(BEHIND, waiting=waiting(parked=True)), "wrong", "(parked)", id="all of them parked by now"
        ),
        pytest.param(replace(IDLE, waiting=waiting()), "warning", "has not answered", id="read, and no answer"),
        pytest.param(replace(IDLE, waiting=waiting(timeout_ms=60_000)), "ok", "are read", id="read, and still in time"),
        pytest.param(replace(IDLE, waiting=waiting(parked=True)), "ok", "are read", id="read, refused, parked"),
        pytest.param(UNKNOWN_GROUP, "note", "cannot be told", id="a group that never committed, and nobody waits"),
        pytest.param(replace(UNKNOWN_GROUP, replied=True), "ok", "answers", id="a foreign group"),
        pytest.param(
            replace(UNKNOWN_GROUP, waiting=waiting()), "wrong", "group seats never read any", id="never any reader"
        ),
        pytest.param(
            replace(UNKNOWN_GROUP, waiting=waiting(), replied=True), "warning", "lags", id="foreign, and late"
        ),
        pytest.param(replace(UNKNOWN_GROUP, commands=0), "note", "cannot be told", id="nothing was ever sent"),
    ],
)
def test_what_is_said_of_a_service(reading: Reading, verdict: str, words: str) -> None:
    finding = judge_service(reading, NOW, runs=True)
    assert (finding.verdict, words in finding.found) == (verdict, True), finding.found
    assert finding.check == "service seats"
    assert bool(finding.remedy) == (verdict in {"wrong", "warning"})


def test_a_system_that_is_stopped_as_a_whole_has_no_missing_workers() -> None:
    assert judge_service(replace(IDLE, worker=NONE), NOW, runs=False).verdict == "ok"


TOPOLOGY = Topology(
    {"seats.commands": (PartitionState(1, 1, 1),)},
    first={TopicPartition("seats.commands", 0): 0},
    ends={TopicPartition("seats.commands", 0): 20},
)
TP = TopicPartition("seats.commands", 0)


def reading_of(committed: Committed | None, database: Database | None = None, *, replied: bool = False) -> Reading:
    found = {} if committed is None else {TP: committed}
    return make_reading(
        "seats",
        TopicNames(),
        TOPOLOGY,
        committed=found,
        again={},
        database=database,
        waiting=None,
        replied=replied,
        paused=False,
    )


def test_a_commit_hint_that_was_lost_is_made_up_by_the_database() -> None:
    database = Database(NONE_PATH, None, "mine", {TP: 20})
    assert reading_of(Committed(15, "mine")).unread == 5
    assert reading_of(Committed(15, "mine"), database).unread == 0


def test_a_database_that_the_group_is_not_read_with_tells_nothing_of_the_worker() -> None:
    left_behind = Database(NONE_PATH, None, "left behind", {TP: 20})
    reading = reading_of(Committed(15, "theirs"), left_behind)
    assert (reading.unread, reading.worker.state) == (5, "unknown")
    assert reading_of(None, left_behind, replied=True).worker.state == "unknown"
    assert reading_of(None, left_behind).worker.state == "none"


def test_whose_database_nobody_holds_is_not_there_whoever_replies() -> None:
    dead = replace(BEHIND, worker=NONE, replied=True)
    assert judge_service(dead, NOW, runs=True).verdict == "wrong"
    assert judge_service(replace(dead, moved=True), NOW, runs=True).verdict == "warning"
