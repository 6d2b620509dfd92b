"""What `saga doctor` looks at. Every check says what it found and, where it is not right, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.errors import BrokerUnreachableError
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicDescription, TopicSpec
from kafka_saga.messaging.topics import describe as describe_topics
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.marks import read_marks
from kafka_saga.orchestrator.operations.reading import open_topics
from kafka_saga.orchestrator.operations.submitting import is_embedded
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store import migrations
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.limits import FENCE_RETENTION_MS
from kafka_saga.runtime.soundness import find_damage
from kafka_saga.runtime.sqlite import newest_schema
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames

Verdict = Literal["ok", "note", "wrong"]

_COMPACT = "compact"

OUTBOX_AGE_MS_MAX = 60_000
"""Published messages leave the outbox within seconds; a minute means that publishing does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ok, worth a note, or wrong."""

    verdict: Verdict
    check: str
    found: str
    remedy: str = ""


async def check_broker(kafka: KafkaSettings) -> tuple[Finding, bool | None]:
    """Whether Kafka answers, and whether it is the embedded one; None where it does not answer."""
    servers = kafka.bootstrap_servers
    try:
        embedded = await is_embedded(kafka)
    except BrokerUnreachableError as error:
        return Finding("wrong", "broker", error.found, error.remedy), None
    except SagaError as error:  # a file that the settings name may not be there
        return Finding("wrong", "broker", f"{servers} cannot be used", str(error)), None
    if embedded:
        advice = "it forgets everything when it ends: for demos and quick tests only"
        return Finding("note", "broker", f"the embedded broker at {servers}", advice), True
    return Finding("ok", "broker", f"Kafka at {servers}"), False


async def check_topics(kafka: KafkaSettings, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Whether the topics exist, and are set up so that no command is lost or outlives the fence (R16)."""
    described = {topic.name: topic for topic in await describe_topics(kafka, [spec.name for spec in specs])}
    missing = [spec.name for spec in specs if spec.name not in described]
    findings = [_missing(missing, len(specs))]
    policies = {spec.name: spec.config.get("cleanup.policy", "") for spec in specs}
    findings += [wrong for topic in described.values() for wrong in _misconfigured(topic, policies[topic.name])]
    if described and all(topic.config is None for topic in described.values()):
        findings.append(Finding("note", "topic settings", "not available on the embedded broker"))
    elif len(findings) == 1 and described:
        counts = sorted({topic.partitions for topic in described.values() if policies[topic.name] != _COMPACT})
        partitions = " or ".join(map(str, counts))
        findings.append(Finding("ok", "topic settings", f"{partitions} partitions each, no message is compacted"))
    return findings


async def check_store(path: Path, registry: Registry | None, now: int) -> list[Finding]:
    """Whether the store can be read, by whom it is held, and whether the code fits what it holds."""
    if not path.exists():  # noqa: ASYNC240 -- one stat of a local file
        advice = "`saga orchestrator` creates it at its first start"
        return [Finding("note", "store", f"there is none at {path}", advice)]
    reader = await StoreReader.open_any(path)
    try:
        newest = newest_schema(migrations.__name__)
        version = await reader.schema_version()
        if version > newest:
            advice = f"this program knows versions up to {newest}: use the newer kafka-saga that wrote it"
            return [Finding("wrong", "store", f"{path} has schema version {version}", advice)]
        if version < newest:
            advice = f"version {newest} comes with the next start of the orchestrator; until then nothing reads it"
            return [Finding("note", "store", f"{path} has schema version {version}", advice), _holder(path)]
        findings = [Finding("ok", "store", f"{path}, schema version {version}"), _holder(path)]
        findings.append(await _check_sound(reader))
        findings.append(await _check_outbox(reader, now))
        findings.append(await _check_parked(reader))
        if registry is not None:
            findings += await _check_versions(reader, registry)
        return findings
    finally:
        await reader.close()


async def check_group(kafka: KafkaSettings, group: str, read: Sequence[str], store: Path) -> Finding:
    """Whether the consumer group belongs to our store, and not to another one (R22)."""
    described = await describe_topics(kafka, read)
    partitions = [TopicPartition(topic.name, number) for topic in described for number in range(topic.partitions)]
    cluster = Cluster(kafka)
    try:
        named = await cluster.committed_metadata(group, partitions) - {""}
    finally:
        await cluster.close()
    if not named:
        return Finding("ok", "consumer group", f"{group}: nobody has read for it yet")
    ours = await _store_id(store)
    if ours is None:
        advice = "start the orchestrator with that store, or give another group and reply topics"
        return Finding("wrong", "consumer group", f"{group} was read for by store {_listed(named)}, not here", advice)
    if named - {ours}:
        advice = "one reply topic serves one store: use that store, or set another group and other reply topics (R13)"
        return Finding("wrong", "consumer group", f"{group} belongs to store {_listed(named - {ours})}", advice)
    return Finding("ok", "consumer group", f"{group} belongs to this store ({ours[:8]}…)")


async def check_dead_letters(kafka: KafkaSettings, topics: Sequence[str], names: TopicNames) -> Finding:
    """How many dead letters lie on `topics` that nobody has sent again or discarded."""
    there = [topic.name for topic in await describe_topics(kafka, topics) if topic.name.startswith(DEAD_LETTER_PREFIX)]
    if not there:
        return Finding("ok", "dead letters", "none")
    async with open_topics(kafka, there) as consumer:
        first = await consumer.positions(there)
        ends = await consumer.end_offsets(there)
    handled = await read_marks(kafka, names)
    count = sum(end - first[tp] for tp, end in ends.items()) - sum(
        first[tp] <= position.offset < ends[tp] for position in handled if (tp := position.partition_of) in ends
    )
    if count:
        return Finding("note", "dead letters", f"{count:,} on {len(there)} topics", "`saga dlq count` says why")
    return Finding("ok", "dead letters", "none")


def _missing(missing: Sequence[str], total: int) -> Finding:
    if not missing:
        return Finding("ok", "topics", f"all {total} exist")
    shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    found = f"{total - len(missing)} of {total} exist; missing: {shown}"
    return Finding("wrong", "topics", found, "`saga topics create` creates them")


def _misconfigured(topic: TopicDescription, policy: str = "delete") -> list[Finding]:
    config = topic.config or {}
    findings = []
    if policy == _COMPACT:
        if topic.config is not None and config.get("cleanup.policy") != _COMPACT:
            advice = f"handled dead letters would come back: set cleanup.policy=compact on {topic.name}"
            findings.append(Finding("wrong", "topic settings", f"{topic.name} is not compacted", advice))
    elif _COMPACT in config.get("cleanup.policy", ""):
        advice = f"compaction would eat a saga's earlier messages: set cleanup.policy=delete on {topic.name}"
        found = f"{topic.name} has cleanup.policy={config['cleanup.policy']}"
        findings.append(Finding("wrong", "topic settings", found, advice))
    retention = config.get("retention.ms")
    if topic.name.endswith(".commands") and retention is not None and not 0 <= int(retention) <= FENCE_RETENTION_MS:
        advice = "commands must not outlive the participants' fence: lower it, or raise fence_retention_days (R16)"
        findings.append(Finding("wrong", "topic settings", f"{topic.name} has retention.ms={retention}", advice))
    return findings


def _holder(path: Path) -> Finding:
    holder = StoreLock(path).holder()
    if holder is None:
        return Finding("note", "orchestrator", "none runs on this store", "`saga orchestrator` starts one")
    return Finding("ok", "orchestrator", f"{holder} holds the store")


async def _check_outbox(reader: StoreReader, now: int) -> Finding:
    messages, oldest = await reader.outbox_age()
    if oldest is None:
        return Finding("ok", "outbox", "everything is published")
    age_s = max(0, now - oldest) // 1000
    found = f"{messages:,} messages wait to be published, the oldest for {age_s} s"
    if age_s * 1000 > OUTBOX_AGE_MS_MAX:
        return Finding("wrong", "outbox", found, "an orchestrator must run and reach Kafka; its log says what fails")
    return Finding("ok", "outbox", found)


async def _check_sound(reader: StoreReader) -> Finding:
    damage = await find_damage(reader.connection)
    if damage:
        advice = "stop the orchestrator, and restore the file from a backup"
        return Finding("wrong", "integrity", f"{len(damage)} places are damaged, the first: {damage[0]}", advice)
    return Finding("ok", "integrity", "every page and index is sound")


async def _check_parked(reader: StoreReader) -> Finding:
    counts = await reader.count_unfinished()
    parked = counts.get(SagaState.PARKED, 0)
    found = ", ".join(f"{count:,} {state.value}" for state, count in counts.items()) or "none is unfinished"
    if parked:
        return Finding("note", "sagas", found, "parked ones need a person: `saga list --state parked`")
    return Finding("ok", "sagas", found)


async def _check_versions(reader: StoreReader, registry: Registry) -> list[Finding]:
    on_record = await reader.definitions()
    changed = [
        f"{saga_type} v{version} ({change})"
        for (saga_type, version), meaning in on_record.items()
        if (known := registry.get(saga_type, version)) is not None
        and (change := known.change_since(*meaning)) is not None
    ]
    missing = [
        f"{saga_type} v{version}"
        for saga_type, version in sorted(await reader.unfinished_versions())
        if registry.get(saga_type, version) is None
    ]
    findings = []
    if changed:
        advice = "put the old steps back, and give yours a new version (R30)"
        findings.append(
            Finding("wrong", "versions", f"{_listed(changed)}: not what it was when it first ran here", advice)
        )
    if missing:
        advice = "register them with --app, or park their sagas: `saga orchestrator --park-missing` (R30)"
        findings.append(
            Finding("wrong", "versions", f"unfinished sagas need {_listed(missing)}, which no module has", advice)
        )
    return findings or [Finding("ok", "versions", "the code has every version that unfinished sagas need")]


async def _store_id(path: Path) -> str | None:
    try:
        reader = await StoreReader.open(path)
    except SagaError:
        return None
    try:
        return (await reader.meta()).get("store_id")
    finally:
        await reader.close()


def _listed(names: set[str] | Sequence[str]) -> str:
    return ", ".join(sorted(names))
