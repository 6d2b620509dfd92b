"""Whether the orchestrator reads what comes, what was deleted before it did, and whose the consumer group is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka_saga.messaging.claims import in_words, others_than, store_named
from kafka_saga.messaging.cluster import Committed
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.stuck import OPEN_TRANSACTION
from kafka_saga.orchestrator.operations.checks.finding import Finding, lasting, listed
from kafka_saga.orchestrator.operations.checks.topology import Topology, unread
from kafka_saga.orchestrator.store.port import Loss
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.wording import counted

READ_AGE_MS_MAX = 10_000
"""Replies are read at once, and requests where there is room for their sagas (R20)."""


LOSSES_SHOWN_MS = 7 * 24 * 3_600_000
"""Long enough for whoever is back on Monday."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits to be read, by topic, and the partitions where some of it has waited for READ_AGE_MS_MAX."""

    topics: Mapping[str, int] = field(default_factory=dict)
    aged: frozenset[TopicPartition] = frozenset()


class Behind(NamedTuple):
    """A partition that can be read to `stable` only, though it reaches to `end`."""

    stable: int
    end: int


def find_behind(
    stable: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Behind]:
    """The partitions whose high watermark is beyond what can be read, `ends` having been asked for after `stable`.

    A transaction is open there; or records have come between the two questions.
    """
    return {tp: Behind(stable[tp], end) for tp, end in ends.items() if tp in stable and end > stable[tp]}


def judge_behind(behind: Mapping[TopicPartition, Behind], replies: Collection[str]) -> list[Finding]:
    """Whether transactions of others hold records back.

    Args:
        behind: where one does, and did so a moment ago.
        replies: the topics that replies come on: there timers wait as well.

    """
    if not behind:
        return []
    count = sum(place.end - place.stable for place in behind.values())
    places = [f"{tp.topic}[{tp.partition}] from {place.stable:,}" for tp, place in sorted(behind.items())]
    found = f"{counted(count, 'record')} cannot be read: {listed(places)}: {OPEN_TRANSACTION}"
    held = "no timeout fires meanwhile; " if any(tp.topic in replies for tp in behind) else ""
    advice = (
        f"{held}it goes on when that producer commits, aborts, or comes to its transaction.timeout.ms; "
        "`kafka-transactions.sh find-hanging` names it, `abort` ends it"
    )
    details = {f"{tp.topic}[{tp.partition}]": list(place) for tp, place in behind.items()}
    return [Finding("warning", "transactions", found, advice, {"partitions": details})]


def measure_lag(
    topics: Collection[str],
    positions: Mapping[TopicPartition, int],
    topology: Topology,
    young: Mapping[TopicPartition, int] | None,
) -> Lag:
    """How far behind `positions` are.

    Args:
        topics: what is read.
        positions: the next offset of each partition, read before `topology`.
        topology: where the topics end.
        young: the first offset of each partition that came within READ_AGE_MS_MAX, where one did; None where the
            broker cannot search by time.

    """
    counts = {topic: unread(topology, topic, positions)[0] for topic in topics}
    waiting = {topic: count for topic, count in counts.items() if count}
    if young is None:
        return Lag(waiting)
    partitions = [tp for topic in waiting for tp in topology.partitions(topic)]
    ends, first = topology.ends, topology.first
    aged = [tp for tp in partitions if positions.get(tp, first.get(tp, 0)) < young.get(tp, ends.get(tp, 0))]
    return Lag(waiting, frozenset(aged))


def judge_positions(
    name: str, topics: Collection[str], positions: Mapping[TopicPartition, int], topology: Topology, *, embedded: bool
) -> list[Finding]:
    """What was deleted before `name` had read it, and positions that Kafka does not have any more (R23).

    Args:
        name: who reads, for people.
        topics: what he reads.
        positions: the next offset of each partition, as his store has it. It was read *before* `topology`.
        topology: where the topics begin and end.
        embedded: the broker forgets everything when it ends, so that a position beyond the end is nothing new.

    """
    deleted: dict[TopicPartition, int] = {}
    beyond: dict[TopicPartition, int] = {}
    never: dict[TopicPartition, int] = {}
    for topic in topics:
        partitions = topology.partitions(topic)
        if any(tp in positions for tp in partitions):
            never |= {tp: topology.first[tp] for tp in partitions if tp not in positions and topology.first.get(tp)}
        _waiting, gone, lost = unread(topology, topic, positions)
        deleted |= gone
        beyond |= lost
    findings = []
    if deleted:
        places = [f"{tp.topic}[{tp.partition}] {positions[tp]:,} to {topology.first[tp] - 1:,}" for tp in deleted]
        found = (
            f"{counted(sum(deleted.values()), 'record')} deleted before {name} read them: offsets of {listed(places)}"
        )
        advice = (
            "retention was shorter than the outage: have requests sent again, and raise retention.ms; "
            "sagas whose replies they were time out and go on"
        )
        findings.append(Finding("wrong", "positions", found, advice, _details(deleted)))
    if never:
        places = [f"{tp.topic}[{tp.partition}] 0 to {first - 1:,}" for tp, first in never.items()]
        records = counted(sum(never.values()), "record")
        found = f"{records} deleted of partitions that {name} never read: offsets of {listed(places)}"
        advice = "where its store is older than they were: have them sent again, and raise retention.ms"
        findings.append(Finding("note" if embedded else "warning", "positions", found, advice, _details(never)))
    if beyond:
        places = [f"{tp.topic}[{tp.partition}] {positions[tp]:,} (end {topology.ends[tp]:,})" for tp in beyond]
        found = f"{name} has read further than Kafka has records: {listed(places)}"
        advice = (
            "the topic was made anew, or a broker lost what it had acknowledged: it is read from the start again, "
            "which is safe; look for what was lost"
        )
        findings.append(Finding("note" if embedded else "wrong", "positions", found, advice, _details(beyond)))
    return findings


def judge_losses(losses: Collection[Loss], now: int, *, embedded: bool) -> list[Finding]:
    """What was lost in the last days, according to the store: the orchestrator has gone on since.

    The embedded broker forgets everything when it ends: there, nothing is said of positions that it has forgotten.
    """
    recent = [
        loss
        for loss in losses
        if now - loss.at <= LOSSES_SHOWN_MS and not (embedded and loss.reset.reason == "beyond_end")
    ]
    by_topic: dict[str, list[Loss]] = {}
    for loss in sorted(recent, key=lambda loss: loss.at):
        by_topic.setdefault(loss.reset.partition.topic, []).append(loss)
    return [_lost(topic, lost) for topic, lost in by_topic.items()]


def _lost(topic: str, losses: Sequence[Loss]) -> Finding:
    resets = [loss.reset for loss in losses]
    deleted = sum(reset.position - reset.wanted for reset in resets if reset.reason == "deleted")
    anew = [reset for reset in resets if reset.reason == "beyond_end"]
    what = [f"{counted(deleted, 'record')} deleted unread"] if deleted else []
    what += [f"{counted(len(anew), 'partition')} made anew or cut off, and read from the start again"] if anew else []
    at = rfc3339(losses[-1].at)
    details = {
        "topic": topic,
        "at": at,
        "deleted": deleted,
        "partitions": {str(reset.partition.partition): [reset.wanted, reset.position] for reset in resets},
    }
    advice = f"have what is missing sent again; this is said for {lasting(LOSSES_SHOWN_MS)}"
    return Finding("warning", "lost", f"{topic} at {at}: {' and '.join(what)}", advice, details)


def judge_requests(lag: Lag, *, moves: bool, may_wait: bool, runs: bool) -> Finding:
    """Whether requests are read.

    Args:
        lag: what is not.
        moves: whether a second look found some more of it read.
        may_wait: other sagas are under way, or a type is paused: then requests wait in their topic by design (R20).
        runs: whether an orchestrator does.

    """
    found, details = f"{counted(sum(lag.topics.values()), 'request')} not read yet{_by_topic(lag)}", _lag_details(lag)
    if not lag.topics:
        return Finding("ok", "requests", "all are read", "", details)
    if not runs:
        return Finding("wrong", "requests", f"{found}; no orchestrator runs", "`saga orchestrator` reads them", details)
    if not lag.aged:
        return Finding("ok", "requests", found, "", details)
    if moves or may_wait:
        advice = "they begin as others end (in_flight_max), or when their type is resumed (`saga pauses`)"
        return Finding("note", "requests", f"{found}, some for more than 10 s", advice, details)
    return Finding("wrong", "requests", f"{found}, some for more than 10 s, and none is being read", _HANGS, details)


def judge_replies(lag: Lag, *, moves: bool, runs: bool) -> Finding:
    """Whether replies are read; the arguments are those of `judge_requests`."""
    number = counted(sum(lag.topics.values()), "reply", "replies")
    found, details = f"{number} not read yet{_by_topic(lag)}", _lag_details(lag)
    if not lag.topics:
        return Finding("ok", "replies", "all are read", "", details)
    if not runs:
        return Finding("wrong", "replies", f"{found}; no orchestrator runs", "`saga orchestrator` reads them", details)
    if not lag.aged:
        return Finding("ok", "replies", found, "", details)
    if moves:
        advice = "the orchestrator catches up; sagas take longer meanwhile"
        return Finding("warning", "replies", f"{found}, some for more than 10 s", advice, details)
    return Finding("wrong", "replies", f"{found}, some for more than 10 s, and none is being read", _HANGS, details)


_HANGS = (
    "the orchestrator holds its store and reads nothing: its log says why; stopped (SIGSTOP), or cut off from Kafka?"
)


def judge_group(group: str, committed: Mapping[TopicPartition, Committed], store_id: str | None) -> Finding:
    """Whether the consumer group belongs to our store, and not to another one (R22).

    `store_id` is None where there is no store that could be read.
    """
    named = {store_named(commit.metadata) for commit in committed.values()}
    details = {"group": group, "stores": sorted(named - {""}), "store": store_id}
    if not named:
        return Finding("ok", "consumer group", f"{group}: nobody has read for it yet", "", details)
    others = others_than(store_id, committed)
    if store_id is None:
        advice = "start the orchestrator with that store, or give another group and reply topics"
        return Finding(
            "wrong", "consumer group", f"{group} was read for by {in_words(others)}, not here", advice, details
        )
    if others:
        advice = (
            "one reply topic serves one store: use that one, or set another group and other reply topics; "
            "`saga adopt orchestrator --from committed|earliest|end` makes the group this store's"
        )
        return Finding("wrong", "consumer group", f"{group} is read for by {in_words(others)}", advice, details)
    return Finding("ok", "consumer group", f"{group} belongs to this store ({store_id[:8]}…)", "", details)


def _by_topic(lag: Lag) -> str:
    return ": " + listed(f"{topic} {count:,}" for topic, count in lag.topics.items())


def _lag_details(lag: Lag) -> dict[str, object]:
    return {"unread": sum(lag.topics.values()), "topics": dict(lag.topics)}


def _details(by_partition: Mapping[TopicPartition, int]) -> dict[str, object]:
    return {"records": {f"{tp.topic}[{tp.partition}]": count for tp, count in by_partition.items()}}
