"""Topics: create what is missing, list and describe what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiokafka import errors as kafka_errors

from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.errors import lacking
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.limits import REQUEST_TIMEOUT_MS
from kafka_saga.runtime.telemetry import log
from kafka_saga.runtime.wording import counted

_log = log("topics")

NOT_ON_EMBEDDED = "not available on the embedded broker"

_BROKER_DEFAULT = -1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; `replicas` -1 leaves their number to the broker's default."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    replicas: int = _BROKER_DEFAULT


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `create_topics` did about one topic.

    `differs`: it exists with another number of partitions, and was left alone. `refused`: see `detail`.
    """

    name: str
    outcome: Literal["created", "exists", "differs", "refused"]
    partitions: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """One topic as it is. `config` holds what was set for it; None where the broker cannot tell."""

    name: str
    partitions: int
    config: Mapping[str, str] | None


async def create_topics(settings: KafkaSettings, specs: Sequence[TopicSpec]) -> list[TopicReport]:
    """Create the topics that do not exist; never change one that does. One report per spec, in its order.

    The embedded broker has no topic administration: there, topics appear when they are first asked for, with
    a number of partitions of its own, and the report says so.

    Raises:
        BrokerUnavailableError: no broker answers, or what it created does not show up.

    """
    names = [spec.name for spec in specs]
    async with _cluster(settings) as cluster:
        if not await cluster.administers_topics():
            there = await cluster.topics()
            counts = await cluster.partition_counts(names, create=True)
            return [_report_embedded(spec, counts.get(spec.name, 0), spec.name in there) for spec in specs]
        wanted = [(spec.name, spec.partitions, spec.replicas, spec.config) for spec in specs]
        results = await cluster.create_topics(wanted)
        if any(error is _NOT_ALLOWED for error, _text in results.values()):
            # Who may create nothing is told so even of what exists, and then need not.
            there = await cluster.topics()
            exists = (kafka_errors.TopicAlreadyExistsError, "")
            results |= {name: exists for name, result in results.items() if result[0] is _NOT_ALLOWED and name in there}
        usable = [name for name in names if results[name][0] in _USABLE]
        # They exist, so waiting for a slow broker is better than giving up the start.
        counts = await cluster.partition_counts(usable, wait_ms=REQUEST_TIMEOUT_MS)
    absent = [name for name in usable if name not in counts]
    if absent:
        raise BrokerUnavailableError(f"created, but not seen on the brokers yet: {', '.join(absent)}")
    return [_report(spec, *results[spec.name], counts.get(spec.name, 0), settings.principal) for spec in specs]


async def list_topics(settings: KafkaSettings) -> dict[str, int]:
    """Every topic and its number of partitions, without Kafka's internal ones.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    async with _cluster(settings) as cluster:
        return await cluster.topics()


async def hidden_topics(settings: KafkaSettings, names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that the broker does not show to this principal, whether they exist or not.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    async with _cluster(settings) as cluster:
        return await cluster.hidden(names)


async def describe(settings: KafkaSettings, names: Iterable[str]) -> list[TopicDescription]:
    """Partitions and own settings of those of `names` that exist.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    async with _cluster(settings) as cluster:
        wanted, there = sorted(set(names)), await cluster.topics()
        found = [name for name in wanted if name in there]
        configs: Mapping[str, Mapping[str, str]] = {}
        if found and await cluster.administers_topics():
            configs = await cluster.topic_configs(found)
        return [TopicDescription(name, there[name], configs.get(name)) for name in found]


_NOT_ALLOWED = kafka_errors.TopicAuthorizationFailedError
_USABLE = (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError)


def _report(spec: TopicSpec, error: type[Exception], text: str, partitions: int, principal: str) -> TopicReport:
    if error is kafka_errors.NoError:
        return TopicReport(spec.name, "created", partitions)
    if error is _NOT_ALLOWED:
        return TopicReport(spec.name, "refused", 0, lacking(principal, "Create", "topic", spec.name))
    if error is not kafka_errors.TopicAlreadyExistsError:
        return TopicReport(spec.name, "refused", 0, text or error.__name__)
    if partitions != spec.partitions:
        detail = f"it has {counted(partitions, 'partition')}, not {spec.partitions}; left as it is"
        return TopicReport(spec.name, "differs", partitions, detail)
    return TopicReport(spec.name, "exists", partitions)


def _report_embedded(spec: TopicSpec, partitions: int, existed: bool) -> TopicReport:
    if not partitions:
        return TopicReport(spec.name, "refused", 0, "the embedded broker did not create it")
    detail = f"{counted(partitions, 'partition')}; choosing them, and topic settings, are {NOT_ON_EMBEDDED}"
    return TopicReport(spec.name, "exists" if existed else "created", partitions, detail)


@asynccontextmanager
async def _cluster(settings: KafkaSettings) -> AsyncIterator[Cluster]:
    cluster = Cluster(settings)
    try:
        yield cluster
    finally:
        try:
            await cluster.close()
        except BrokerUnavailableError as error:
            _log.warning("topics.close_abandoned", error=str(error))
