"""What stands still in the store, whatever the clocks say; and what is read, lost or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.inspection import BrokerTime, PartitionState
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.checks.broker import judge_clock
from kafka_saga.orchestrator.operations.checks.finding import lasting, listed
from kafka_saga.orchestrator.operations.checks.letters import Letter, Letters, judge_letters
from kafka_saga.orchestrator.operations.checks.positions import (
    LOSSES_SHOWN_MS,
    Lag,
    judge_group,
    judge_losses,
    judge_positions,
    judge_replies,
    judge_requests,
    measure_lag,
)
from kafka_saga.orchestrator.operations.checks.topology import Topology
from kafka_saga.orchestrator.operations.checks.work import (
    deserves_second_look,
    judge_acts,
    judge_outbox,
    judge_pauses,
    judge_sagas,
    judge_timers,
)
from kafka_saga.orchestrator.store.port import Loss
from kafka_saga.orchestrator.store.vitals import Outbox, Overdue, Vitals
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import decode_trusted, encode

NOW = 1_800_000_000_000
HOUR = 3_600_000
P0, P1 = TopicPartition("order.requests", 0), TopicPartition("order.requests", 1)


def outbox(age_ms: int, oldest_id: int = 7) -> Vitals:
    return Vitals(outbox=Outbox(1_204, oldest_id, NOW - age_ms, (("seats.commands", 800), ("trip.events", 404))))


def said_of_outbox(first: Vitals, second: Vitals, *, runs: bool = True, closed: str = "", kafka: bool = True) -> str:
    why = {"seats.commands": closed} if closed else {}
    finding = judge_outbox(first, second, NOW, runs=runs, closed=why, kafka_answers=kafka)
    return f"{finding.verdict}: {finding.found} -> {finding.remedy}"


@pytest.mark.parametrize("age_ms", [312_000, -HOUR], ids=["for minutes", "dated an hour ahead by a clock"])
def test_an_outbox_that_does_not_move_is_wrong_whatever_the_clock(age_ms: int) -> None:
    stuck = outbox(age_ms)
    assert deserves_second_look(stuck, NOW)
    assert said_of_outbox(stuck, stuck).startswith("wrong: 1,204 messages not published")
    assert "seats.commands 800" in said_of_outbox(stuck, stuck)
    assert said_of_outbox(stuck, outbox(age_ms, oldest_id=8)).startswith("ok"), "the oldest was published meanwhile"


def test_an_outbox_in_use_is_well_and_needs_no_second_look() -> None:
    assert not deserves_second_look(outbox(900), NOW)
    assert not deserves_second_look(Vitals(), NOW)
    assert said_of_outbox(outbox(900), outbox(900)).startswith("ok")
    assert said_of_outbox(Vitals(), Vitals()) == "ok: everything is published -> "


def test_what_helps_a_stuck_outbox_depends_on_why_it_is_stuck() -> None:
    stuck = outbox(60_000)
    assert "saga orchestrator" in said_of_outbox(stuck, stuck, runs=False)
    assert said_of_outbox(outbox(1), outbox(1), runs=False).startswith("wrong"), "nobody will publish it"
    assert "saga topics create" in said_of_outbox(stuck, stuck, closed="the topic does not exist")
    assert "seats.commands 800 (the topic does not exist)" in said_of_outbox(
        stuck, stuck, closed="the topic does not exist"
    )
    assert "bring Kafka back" in said_of_outbox(stuck, stuck, kafka=False)
    assert "may it write there" in said_of_outbox(stuck, stuck)


def test_overdue_timers_are_wrong_only_where_they_stay_overdue() -> None:
    late = Vitals(overdue=Overdue(3, NOW - 40_000))
    assert deserves_second_look(late, NOW)
    assert judge_timers(late, late, NOW, runs=True).verdict == "wrong"
    assert "3 timers overdue, the first for 40 s" in judge_timers(late, late, NOW, runs=True).found
    assert judge_timers(late, Vitals(), NOW, runs=True).verdict == "ok", "a clock that jumped, or an outage that ended"
    assert judge_timers(late, Vitals(overdue=Overdue(2, NOW - 30_000)), NOW, runs=True).verdict == "ok"
    assert judge_timers(late, late, NOW, runs=False).verdict == "note", "the sagas' own finding says what to do"


def test_sagas_wait_for_an_orchestrator_or_for_a_person() -> None:
    states = {SagaState.RUNNING: 2, SagaState.PARKED: 1}
    vitals = Vitals(states=states, parked={"compensation_failed": 1})
    assert [(one.verdict, one.check) for one in judge_sagas(vitals, runs=False)] == [
        ("wrong", "sagas"),
        ("warning", "parked"),
    ]
    [parked] = judge_sagas(vitals, runs=True)
    assert "1 saga parked and waiting for a person: compensation_failed 1" in parked.found
    assert [one.verdict for one in judge_sagas(Vitals(), runs=False)] == ["ok"]


def test_acts_that_nobody_takes_and_pauses_that_somebody_forgot() -> None:
    assert judge_acts(Vitals(acts=(1, NOW - 300)), NOW, runs=True) == []
    [stuck] = judge_acts(Vitals(acts=(2, NOW - 60_000)), NOW, runs=True)
    assert (stuck.verdict, "2 acts of operators not taken, the first for 1 min" in stuck.found) == ("warning", True)
    assert judge_acts(Vitals(acts=(1, NOW - 300)), NOW, runs=False)[0].verdict == "warning"
    hold = Hold("service:payment", "ann", "maintenance", NOW)
    [paused] = judge_pauses(Vitals(pauses={"service:payment": Pause(hold)}), {"service:payment": 12})
    assert (paused.verdict, paused.remedy) == ("note", "`saga resume --service payment` goes on")
    assert "by ann" in paused.found
    assert "12 sagas held" in paused.found


@pytest.mark.parametrize(
    ("skew_ms", "store_ahead_ms", "verdict"),
    [
        (40, 0, "ok"),
        (20_000, 0, "warning"),
        (HOUR, 0, "wrong"),
        (-HOUR, 0, "wrong"),
        (None, 0, "note"),
        (40, HOUR, "wrong"),
        (None, HOUR, "wrong"),
        (None, -HOUR, "note"),
    ],
)
def test_clocks_that_are_off_are_seen(skew_ms: int | None, store_ahead_ms: int, verdict: str) -> None:
    time = None if skew_ms is None else BrokerTime(NOW - skew_ms, NOW, 3)
    finding = judge_clock(time, NOW + store_ahead_ms, NOW)
    assert finding.verdict == verdict, finding.found
    assert finding.details["brokerSkewMs"] == skew_ms
    if verdict == "wrong":
        assert "1 h" in finding.found


def topology(first: tuple[int, int] = (0, 0), ends: tuple[int, int] = (20, 20)) -> Topology:
    two = (PartitionState(1, 1, 1), PartitionState(1, 1, 1))
    return Topology(
        {"order.requests": two}, dict(zip((P0, P1), first, strict=True)), dict(zip((P0, P1), ends, strict=True))
    )


def test_records_that_were_deleted_unread_are_counted_with_their_offsets() -> None:
    kafka = topology(first=(15, 4))
    [lost] = judge_positions("the orchestrator", ["order.requests"], {P0: 10, P1: 4}, kafka, embedded=False)
    assert (lost.verdict, lost.details) == ("wrong", {"records": {"order.requests[0]": 5}})
    assert "5 records deleted before the orchestrator read them: offsets of order.requests[0] 10 to 14" in lost.found
    [never] = judge_positions("the orchestrator", ["order.requests"], {P0: 15}, kafka, embedded=False)
    assert (never.verdict, "order.requests[1] 0 to 3" in never.found) == ("warning", True)
    assert judge_positions("it", ["order.requests"], {}, kafka, embedded=False) == [], "it never read here at all"


def test_a_position_beyond_the_end_is_an_alarm_but_not_on_a_broker_that_forgets() -> None:
    said = [
        judge_positions("the orchestrator", ["order.requests"], {P0: 21, P1: 20}, topology(), embedded=embedded)
        for embedded in (False, True)
    ]
    assert [[one.verdict for one in findings] for findings in said] == [["wrong"], ["note"]]
    assert "order.requests[0] 21 (end 20)" in said[0][0].found


def test_what_was_lost_is_still_said_a_week_later_and_not_for_ever() -> None:
    loss = Loss(NOW - HOUR, Reset(P0, 10, 15, "deleted"))
    [said] = judge_losses([loss, replace(loss, reset=Reset(P1, 1, 3, "deleted"))], NOW, embedded=False)
    assert (said.verdict, "7 records deleted unread" in said.found) == ("warning", True)
    assert decode_trusted(encode(said.details))["partitions"] == {"0": [10, 15], "1": [1, 3]}
    assert judge_losses([replace(loss, at=NOW - LOSSES_SHOWN_MS - 1)], NOW, embedded=False) == []
    anew = [Loss(NOW, Reset(P0, 10, 0, "beyond_end"))]
    assert [len(judge_losses(anew, NOW, embedded=embedded)) for embedded in (False, True)] == [1, 0]


def test_requests_may_wait_in_their_topic_and_replies_may_not() -> None:
    aged = measure_lag(["order.requests"], {P0: 20, P1: 5}, topology(), {P1: 18})
    young = measure_lag(["order.requests"], {P0: 20, P1: 18}, topology(), {P1: 18})
    assert (aged.topics, aged.aged) == ({"order.requests": 15}, {P1})
    assert not young.aged
    assert judge_requests(aged, moves=False, may_wait=False, runs=True).verdict == "wrong"
    assert judge_requests(aged, moves=False, may_wait=True, runs=True).verdict == "note"
    assert judge_requests(young, moves=False, may_wait=False, runs=True).verdict == "ok"
    assert judge_requests(young, moves=False, may_wait=False, runs=False).verdict == "wrong"
    assert judge_requests(Lag(), moves=False, may_wait=False, runs=False).verdict == "ok"
    assert judge_replies(aged, moves=False, runs=True).verdict == "wrong"
    assert judge_replies(aged, moves=True, runs=True).verdict == "warning"
    assert "15 replies not read yet" in judge_replies(aged, moves=True, runs=True).found


def test_a_broker_that_cannot_search_by_time_tells_no_ages() -> None:
    assert measure_lag(["order.requests"], {P0: 0}, topology(), None).aged == frozenset()


def test_the_group_is_of_one_store_R22() -> None:
    assert judge_group("orchestrator", {P0: Committed(3, "mine")}, "mine").verdict == "ok"
    assert judge_group("orchestrator", {P0: Committed(3, "claim:mine")}, "mine").verdict == "ok"
    foreign = judge_group("orchestrator", {P0: Committed(3, "")}, "mine")
    assert (foreign.verdict, "a program that is not ours" in foreign.found) == ("wrong", True)
    assert judge_group("orchestrator", {P0: Committed(3, "other"), P1: Committed(3, "mine")}, "mine").verdict == "wrong"
    assert judge_group("orchestrator", {P0: Committed(3, "other")}, None).verdict == "wrong"


def letter(saga_id: str, cause: str = "bad_schema", stage: str = "decode") -> Letter:
    return Letter("dlq.p.replies/0/1", "p.replies", cause, stage, saga_id, "pay", "charge_id: Field required")


def test_dead_letters_are_wrong_where_a_saga_waits_and_a_note_elsewhere() -> None:
    letters = Letters(3, {"dlq.p.replies": 3}, [letter("a"), letter("b", "too_large", "publish")])
    held_up, refused, total = judge_letters(letters, {"a": [letter("a")]})
    assert (held_up.verdict, "1 dead letter holds up 1 unfinished saga: a (bad_schema)" in held_up.found) == (
        "wrong",
        True,
    )
    assert (refused.verdict, "1 message refused by the broker: p.replies too_large (1)" in refused.found) == (
        "warning",
        True,
    )
    assert (total.verdict, total.details["open"]) == ("note", 3)
    assert [one.verdict for one in judge_letters(Letters(), {})] == ["ok"]


def test_words_for_numbers_and_times() -> None:
    assert [counted(1, "reply", "replies"), counted(1_204, "reply", "replies")] == ["1 reply", "1,204 replies"]
    assert listed("abcdef") == "a, b, c, d and 2 more"
    assert [lasting(ms) for ms in (0, 59_600, 250_000, 3_600_000, 11_520_000, 190_800_000)] == [
        "0 s", "1 min", "4 min 10 s", "1 h", "3 h 12 min", "2 d 5 h"
    ]  # fmt: skip
