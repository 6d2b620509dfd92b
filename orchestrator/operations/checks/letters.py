"""Dead letters that are the reason why something waits, or that a broker refused; and how many are open in all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging.inspection import Inspection
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.operations.checks.finding import Finding, listed
from kafka_saga.orchestrator.operations.checks.topology import Topology
from kafka_saga.orchestrator.operations.dead_letters.letters import summary
from kafka_saga.orchestrator.operations.dead_letters.marks import Marks, read_marks
from kafka_saga.orchestrator.operations.kafka.messages import describe
from kafka_saga.orchestrator.operations.kafka.reading import check_answering, open_topics
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import unfinished_among
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX, LETTERS_READ_MAX
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.topics import TopicNames

DAY_MS = 24 * 3_600_000
_POLL_MS = 100


@dataclass(frozen=True, slots=True)
class Letter:
    """An open dead letter, as far as it matters why it is one."""

    position: str
    origin: str
    cause: str
    stage: str
    saga_id: str | None
    step: str | None
    message: str


@dataclass(slots=True)
class Letters:
    """Open dead letters: how many in all, and what those are that were read, the newest ones."""

    total: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    read: list[Letter] = field(default_factory=list)
    complete: bool = True
    """Whether all that were set aside since the moment asked for were read."""


async def read_letters(
    kafka: KafkaSettings,
    inspection: Inspection,
    topology: Topology,
    *,
    names: TopicNames,
    topics: Sequence[str],
    since: int,
) -> Letters:
    """The open dead letters on `topics`: all are counted, those set aside since `since` are read.

    `topology` knows where `topics` begin and end.
    """
    there = [topic for topic in topics if topology.records([topic])]
    found = Letters()
    if not there:
        return found
    marks = await read_marks(kafka, names)
    handled: Counter[str] = Counter()
    for position in marks:
        tp = position.partition_of
        if topology.first.get(tp, 0) <= position.offset < topology.ends.get(tp, 0):
            handled[position.topic] += 1
    found.topics = {topic: number for topic in there if (number := topology.records([topic]) - handled[topic]) > 0}
    found.total = sum(found.topics.values())
    if found.total:
        younger = await inspection.offsets({topic: topology.topics[topic] for topic in there}, since)
        await _read(kafka, topology, found, marks, younger)
    return found


async def _read(
    kafka: KafkaSettings, topology: Topology, found: Letters, marks: Marks, younger: Mapping[TopicPartition, int]
) -> None:
    """Read the newest letters: of each partition at most its share."""
    topics = list(found.topics)
    partitions = [tp for topic in topics for tp in topology.partitions(topic) if topology.records_of(tp)]
    share = max(1, LETTERS_READ_MAX // len(partitions))
    searched = bool(younger)
    async with open_topics(kafka, topics, from_end=True) as consumer:
        left: dict[TopicPartition, int] = {}
        for tp in partitions:
            end = topology.ends[tp]
            wanted = younger.get(tp, end) if searched else topology.first[tp]
            start = max(wanted, end - share)
            found.complete = found.complete and start == wanted
            if start < end:
                consumer.seek(tp, start)
                left[tp] = end
        while left:
            for record in await consumer.poll(_POLL_MS, BATCH_RECORDS_MAX):
                letter = summary(record, marks)
                if letter["handled"] is None:
                    found.read.append(_letter(letter, describe(record)))
            positions = await consumer.positions(topics)
            left = {tp: end for tp, end in left.items() if positions.get(tp, end) < end}
            check_answering(consumer)


def _letter(shown: Mapping[str, Any], described: Mapping[str, Any]) -> Letter:
    return Letter(
        position=shown["position"],
        origin=shown["from"] or "",
        cause=shown["cause"] or "no cause given",
        stage=shown["stage"] or "",
        saga_id=shown["sagaId"],
        step=described.get("step"),
        message=shown["message"] or "",
    )


async def waiting_for(letters: Letters, reader: StoreReader, registry: Registry) -> dict[str, list[Letter]]:
    """The letters about the very step that an unfinished saga is at, by saga id."""
    by_saga: dict[str, list[Letter]] = defaultdict(list)
    for letter in letters.read:
        if letter.saga_id is not None and not letter.origin.endswith(".requests"):
            by_saga[letter.saga_id].append(letter)
    found: dict[str, list[Letter]] = {}
    for ref in sorted(await unfinished_among(reader, registry.saga_types, list(by_saga))):
        saga = await reader.get(ref)
        if saga is not None:
            concerned = about_active_step(by_saga[ref.saga_id], saga, registry)
            if concerned:
                found[ref.saga_id] = concerned
    return found


def about_active_step(letters: Collection[Letter], saga: Saga, registry: Registry) -> list[Letter]:
    """Those of a saga's dead letters that are about the step it is at."""
    definition, index = registry.get(saga.ref.saga_type, saga.definition_version), saga.active_index
    if definition is None or index is None:
        return []
    return [letter for letter in letters if letter.step == definition.steps[index].name]


def judge_letters(letters: Letters, waiting: Mapping[str, Sequence[Letter]]) -> list[Finding]:
    """What they hold up, what a broker refused, and how many are open."""
    findings = []
    if waiting:
        causes = Counter(letter.cause for some in waiting.values() for letter in some)
        number = sum(causes.values())
        sagas = [
            f"{saga_id} ({', '.join(sorted({letter.cause for letter in some}))})" for saga_id, some in waiting.items()
        ]
        verb = "holds up" if number == 1 else "hold up"
        found = f"{counted(number, 'dead letter')} {verb} {counted(len(waiting), 'unfinished saga')}: {listed(sagas)}"
        advice = "mend what refused them, then `saga dlq redrive --saga ID`; `saga dlq list --saga ID` says why"
        details = {
            "causes": dict(causes),
            "sagas": {saga_id: [letter.position for letter in some] for saga_id, some in waiting.items()},
        }
        findings.append(Finding("wrong", "dead letters", found, advice, details))
    refused = [letter for letter in letters.read if letter.stage == "publish"]
    if refused:
        topics = Counter(f"{letter.origin} {letter.cause}" for letter in refused)
        found = f"{counted(len(refused), 'message')} refused by the broker: " + listed(
            f"{what} ({count:,})" for what, count in topics.most_common()
        )
        advice = "`saga dlq list --cause too_large` (or refused) says why; raise max.message.bytes, then redrive them"
        findings.append(Finding("warning", "refused", found, advice, {"topics": dict(topics)}))
    if letters.total:
        found = f"{letters.total:,} open on {counted(len(letters.topics), 'topic')}: " + listed(
            f"{topic} {count:,}" for topic, count in letters.topics.items()
        )
        details = {"open": letters.total, "topics": letters.topics, "allRead": letters.complete}
        findings.append(Finding("note", "dead letters", found, "`saga dlq count` says why", details))
    return findings or [Finding("ok", "dead letters", "none is open", "", {"open": 0})]
