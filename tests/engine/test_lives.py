"""Who is dead is judged by watching (R61), and which lanes go with which partitions (R60)."""

from __future__ import annotations

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.handover import lanes_of
from kafka_saga.orchestrator.engine.lives import BEATS_MIN, Judge
from kafka_saga.orchestrator.engine.shared_admission import SharedAdmission, changes
from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.store.members import Lanes, Peer, Sums
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.memory_server import MemoryServer
from kafka_saga.orchestrator.store.shared_memory import SharedMemoryStore
from kafka_saga.runtime.limits import LEASE_MS
from tests.contracts.stores import SetClock, decided, new_saga, rejection

OWN = 1


def peers(*beats: int) -> list[Peer]:
    """Ourselves, and others with these beats."""
    return [Peer(OWN, "own", 0), *(Peer(number, f"r{number}", beat) for number, beat in enumerate(beats, start=2))]


def test_whose_beat_stands_still_for_the_lease_is_dead_R61() -> None:
    judge = Judge()
    for second in range(LEASE_MS // 1_000):
        assert judge.look(peers(7), OWN, second * 1_000) == []
    assert judge.look(peers(7), OWN, LEASE_MS) == [Peer(2, "r2", 7)]


def test_whose_beat_moves_lives_however_seldom_we_looked_R61() -> None:
    judge = Judge()
    for second in range(20):
        assert judge.look(peers(second // 4), OWN, second * 1_000) == []


def test_nobody_is_dead_because_we_saw_nothing_R61() -> None:
    """The database was away for a minute, and everybody's beat stood still."""
    judge = Judge()
    judge.look(peers(7, 8), OWN, 0)
    for look in range(BEATS_MIN - 1):
        assert judge.look(peers(7, 8), OWN, 60_000 + look) == []


def test_only_those_count_for_admission_whose_beat_moves_R63() -> None:
    judge = Judge()
    for second in range(BEATS_MIN + 1):
        judge.look(peers(7, second), OWN, second * 1_000)
    assert judge.beating == 2


def test_lanes_go_with_the_partitions_of_the_first_topic_R60() -> None:
    owned = [TopicPartition("a", 1), TopicPartition("a", 3), TopicPartition("b", 0)]
    assert lanes_of(owned, "a", 4) == Lanes(4, frozenset({1, 3}))
    assert lanes_of(owned, "a", 2) == Lanes(2, frozenset({1}))
    assert lanes_of([], "a", 4) == Lanes(4, frozenset())


async def test_each_replica_admits_its_part_of_what_all_may_have_under_way_R72() -> None:
    members = SharedMemoryStore(MemoryServer(MemoryStore(SetClock())), SetClock()).members
    admission = SharedAdmission(100, members, lambda: 0)
    members.sums = Sums(in_flight=90, pending=40, window=95)
    admission.take()
    admission.replicas = 3
    assert (admission.room, admission.pending) == (2, 40)
    members.sums = Sums(in_flight=99, pending=40, window=95)
    admission.take()
    assert admission.room == 0


async def test_what_another_replica_has_taken_over_does_not_halve_the_window_for_ever_R72() -> None:
    members = SharedMemoryStore(MemoryServer(MemoryStore(SetClock())), SetClock()).members
    running = decided(new_saga(), Admitted()).saga
    sent_at, deadline_at = running.steps[0].sent_at, running.steps[0].deadline_at
    assert sent_at is not None
    assert deadline_at is not None
    late = (sent_at + deadline_at) // 2
    for forgets, now in ((True, late), (False, deadline_at + 1)):
        admission = SharedAdmission(100, members, lambda: 0)
        admission.moved(None, running)
        if forgets:
            admission.forget()
        admission.adjust(now)
        assert admission.window == 100
    admission = SharedAdmission(100, members, lambda: 0)
    admission.moved(None, running)
    admission.adjust(late)
    assert admission.window == 50, "what is ours and late counts"


def test_what_a_batch_adds_to_what_is_under_way_and_waits_is_counted_R72() -> None:
    accepted = new_saga()
    running = decided(accepted, Admitted()).saga
    ended = decided(running, rejection("reserve_inventory", "sold out")).saga
    assert changes([(None, accepted)]) == (0, 1)
    assert changes([(accepted, running)]) == (1, -1)
    assert changes([(running, ended)]) == (-1, 0)
