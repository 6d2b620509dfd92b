"""Whether topics are there, led, and set up so that no message is lost, refused, or outlives what remembers it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka_saga.messaging.inspection import PartitionState
from kafka_saga.messaging.topics import NOT_ON_EMBEDDED, TopicSpec
from kafka_saga.orchestrator.operations.checks.finding import Finding, Verdict, lasting, listed
from kafka_saga.runtime.limits import HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX, TOPIC_RETENTION_MS_MIN
from kafka_saga.runtime.wording import counted

SETTINGS = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas")
"""What is asked of each topic."""

_COMPACT = "compact"
_MESSAGE_BYTES_WANTED = PAYLOAD_BYTES_MAX + 2 * HEADERS_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Wanted:
    """How topics should be: which, and for how long participants and purged sagas remember."""

    specs: Sequence[TopicSpec]
    live: frozenset[str]
    """Those that sagas are carried by: requests, commands and replies."""
    commands: frozenset[str]
    requests: frozenset[str]
    fence_ms: int
    purged_ms: int | None
    """None: for ever."""


Topics = Mapping[str, tuple[PartitionState, ...]]
Configs = Mapping[str, Mapping[str, str]]


def judge_topics(wanted: Wanted, there: Topics, configs: Configs | None, hidden: Collection[str] = ()) -> list[Finding]:
    """Findings about the topics: what is missing first, then what is set up wrongly; one line for each kind.

    Args:
        wanted: how they should be.
        there: every topic that exists.
        configs: the settings `SETTINGS` of ours as they hold; None where the broker cannot tell.
        hidden: topics of which nobody knows here whether they exist.

    """
    names = [spec.name for spec in wanted.specs]
    findings = [_existing([name for name in names if name not in hidden], there)]
    findings += _led(names, there)
    if configs is None:
        findings.append(Finding("note", "topic settings", NOT_ON_EMBEDDED))
        return findings
    wrong = [*_partitions(wanted, there), *_settings(wanted, there, configs)]
    if not wrong and any(name in there for name in names):
        counts = sorted({len(there[name]) for name in names if name in there and name in wanted.live})
        found = f"{' or '.join(map(str, counts))} partitions each, no message is compacted" if counts else "as wanted"
        wrong = [Finding("ok", "topic settings", found)]
    return findings + wrong


def _existing(names: Sequence[str], there: Topics) -> Finding:
    missing = [name for name in names if name not in there]
    details = {"topics": len(names), "missing": missing}
    if not missing:
        return Finding("ok", "topics", f"all {len(names)} exist", "", details)
    found = f"{len(names) - len(missing):,} of {len(names):,} exist; missing: {listed(missing)}"
    return Finding("wrong", "topics", found, "`saga topics create` creates them", details)


def _led(names: Sequence[str], there: Topics) -> list[Finding]:
    partitions = [(f"{name}[{n}]", state) for name in names for n, state in enumerate(there.get(name, ()))]
    headless = [name for name, state in partitions if state.leader < 0]
    behind = [name for name, state in partitions if state.leader >= 0 and state.in_sync < state.replicas]
    findings = []
    if headless:
        found = f"{counted(len(headless), 'partition')} without a leader: {listed(headless)}"
        advice = "their broker is down: nothing is read or written there until it is back"
        findings.append(Finding("wrong", "partitions", found, advice, {"partitions": headless}))
    if behind:
        found = f"{counted(len(behind), 'partition')} with a copy that is not in sync: {listed(behind)}"
        advice = "a broker is down or slow: one more that fails may cost messages"
        findings.append(Finding("warning", "partitions", found, advice, {"partitions": behind}))
    return findings


def _partitions(wanted: Wanted, there: Topics) -> list[Finding]:
    fewer = {
        spec.name: len(there[spec.name])
        for spec in wanted.specs
        if spec.name in wanted.live and len(there.get(spec.name, (None,) * spec.partitions)) < spec.partitions
    }
    if not fewer:
        return []
    want = next(spec.partitions for spec in wanted.specs if spec.name in fewer)
    found = f"fewer than {want} partitions: {listed(f'{name} ({count})' for name, count in fewer.items())}"
    first = next(iter(fewer))
    advice = (
        f"`kafka-topics.sh --alter --topic {first} --partitions {want}` adds them, ours read them at once; "
        f"or set partitions = {min(fewer.values())}"
    )
    return [Finding("warning", "topic settings", found, advice, {"topics": fewer, "wanted": want})]


def _settings(wanted: Wanted, there: Topics, configs: Configs) -> list[Finding]:
    return [*_policies(wanted, configs), *_retention(wanted, configs), *_capacity(wanted, there, configs)]


def _policies(wanted: Wanted, configs: Configs) -> list[Finding]:
    """Whether what must be compacted is, and nothing else."""
    policies = {name: config.get("cleanup.policy", "delete") for name, config in configs.items()}
    compact = {spec.name for spec in wanted.specs if spec.config.get("cleanup.policy") == _COMPACT}
    return [
        *_kind(
            "wrong",
            {name: policy for name, policy in policies.items() if name not in compact and _COMPACT in policy},
            "compacted",
            "compaction eats a saga's earlier messages: set cleanup.policy=delete",
        ),
        *_kind(
            "wrong",
            {name: policy for name, policy in policies.items() if name in compact and policy != _COMPACT},
            "not compacted",
            "handled dead letters come back when it forgets: set cleanup.policy=compact",
        ),
    ]


def _retention(wanted: Wanted, configs: Configs) -> list[Finding]:
    """Whether messages are kept long enough, and commands not for longer than the fence remembers."""
    kept = _numbers(configs, wanted.live, "retention.ms")
    fence_ms, purged_ms = wanted.fence_ms, wanted.purged_ms
    return [
        *_kind(
            "wrong",
            {name: _age(ms) for name, ms in kept.items() if name in wanted.commands and not 0 <= ms <= fence_ms},
            "kept for longer than the participants remember",
            f"a command that outlives its fence row could run twice: set retention.ms below {lasting(fence_ms)}, "
            "or raise fence_retention_days",
        ),
        *_kind(
            "warning",
            {name: _age(ms) for name, ms in kept.items() if 0 <= ms < TOPIC_RETENTION_MS_MIN},
            f"kept for less than {lasting(TOPIC_RETENTION_MS_MIN)}",
            "what nobody reads in that time is lost: set a longer retention.ms",
        ),
        *_kind(
            "note",
            {
                name: _age(ms)
                for name, ms in kept.items()
                if name in wanted.requests and purged_ms is not None and not 0 <= ms <= purged_ms
            },
            "requests are kept for longer than purged ids",
            "so ids are remembered as long as requests, and the store grows by that",
        ),
    ]


def _capacity(wanted: Wanted, there: Topics, configs: Configs) -> list[Finding]:
    """Whether the topics take what we send, all of it."""
    ours = {spec.name for spec in wanted.specs}
    cut = {name: size for name, size in _numbers(configs, wanted.live, "retention.bytes").items() if size >= 0}
    sizes = _numbers(configs, ours, "max.message.bytes")
    copies = _numbers(configs, ours, "min.insync.replicas")
    return [
        *_kind(
            "warning",
            {name: f"{size:,} bytes a partition" for name, size in cut.items()},
            "cut by size",
            "a flood deletes what was not read yet: unset retention.bytes",
        ),
        *_kind(
            "warning",
            {name: f"{size:,} bytes" for name, size in sizes.items() if size < _MESSAGE_BYTES_WANTED},
            "take only small messages",
            f"larger ones are refused: set max.message.bytes to {_MESSAGE_BYTES_WANTED:,} or more",
        ),
        *_kind(
            "wrong",
            {
                name: f"needs {needed}"
                for name, needed in copies.items()
                if any(0 < state.in_sync < needed for state in there.get(name, ()))
            },
            "too few copies in sync to take messages (min.insync.replicas)",
            "bring the brokers back; until then everything for these topics waits in the outbox",
        ),
    ]


def _numbers(configs: Configs, names: Collection[str], setting: str) -> dict[str, int]:
    return {name: int(config[setting]) for name, config in configs.items() if name in names and setting in config}


def _age(retention_ms: int) -> str:
    return lasting(retention_ms) if retention_ms >= 0 else "for ever"


def _kind(verdict: Verdict, topics: Mapping[str, Any], what: str, advice: str) -> list[Finding]:
    if not topics:
        return []
    found = f"{what}: {listed(f'{name} ({value})' for name, value in topics.items())}"
    return [Finding(verdict, "topic settings", found, advice, {"topics": dict(topics)})]
