"""A process that starts while Kafka is away waits for it: after a power cut everything comes up at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.probing import probe
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.waiting import abandon
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.telemetry import log

_log = log("kafka")

_BACKOFF_MS_MIN = 250
_REMINDER_MS = 60_000
"""The same reason is said once a minute."""

Tell = Callable[[BrokerUnavailableError, int], None]
"""Is told for what we wait, and for how many milliseconds so far."""


def log_waiting(reason: BrokerUnavailableError, waited_ms: int) -> None:
    """Say in the log for what we wait."""
    _log.warning("kafka.awaited", waited_s=waited_ms // 1000, error=str(reason))


async def wait_for_broker(
    settings: KafkaSettings,
    *,
    stopping: asyncio.Event,
    wait_ms: int | None,
    clock: Clock,
    tell: Tell = log_waiting,
) -> bool:
    """Return when a broker takes us: True; or when `stopping` is set: False, at once.

    Args:
        settings: how to reach it.
        stopping: ends the wait.
        wait_ms: for how long to wait for a broker that is away, in milliseconds; 0 not at all, None without end.
        clock: the time.
        tell: is told the reason at once, when it changes, and once a minute.

    Raises:
        BrokerUnavailableError: it did not come in time; or it does not take us, which waiting does not change.
        ConfigError: a file that the settings name cannot be used.

    """
    return await _answered(lambda: probe(settings), stopping, wait_ms, clock, tell)


async def wait_for_group(
    settings: KafkaSettings,
    group: str,
    topics: Iterable[str],
    *,
    stopping: asyncio.Event,
    wait_ms: int | None,
    clock: Clock,
    tell: Tell = log_waiting,
) -> bool:
    """As `wait_for_broker`, for the coordinator of `group`: a broker that has just started loads its groups first.

    Args:
        settings: how to reach Kafka.
        group: whose committed offsets are going to be read.
        topics: which it reads; those that are missing are left to whoever reads them.
        stopping: ends the wait.
        wait_ms: for how long to wait, in milliseconds; 0 no longer than for any answer, None without end.
        clock: the time.
        tell: as there.

    Raises:
        NotAllowedError: this user may not read the group or one of the topics.
        BrokerUnavailableError: it did not answer in time.

    """

    async def ask() -> None:
        cluster = Cluster(settings, clock=clock)
        try:
            found = await cluster.partition_counts(topics, wait_ms=0, right="Read")
            await cluster.committed_by(group, [TopicPartition(topic, 0) for topic in found])
        finally:
            await cluster.close()

    return await _answered(ask, stopping, wait_ms, clock, tell)


async def _answered(
    ask: Callable[[], Coroutine[Any, Any, None]], stopping: asyncio.Event, wait_ms: int | None, clock: Clock, tell: Tell
) -> bool:
    """Whether `ask` was answered before `stopping` was set."""
    began_ms = clock.monotonic_ms()
    backoff_ms = _BACKOFF_MS_MIN
    said, said_at_ms = "", began_ms
    while not stopping.is_set():
        try:
            if await _unless(stopping, ask()):
                return True
        except BrokerUnavailableError as reason:
            now_ms = clock.monotonic_ms()
            waited_ms = now_ms - began_ms
            if not reason.retryable or (wait_ms is not None and waited_ms >= wait_ms):
                raise
            if str(reason) != said or now_ms - said_at_ms >= _REMINDER_MS:
                tell(reason, waited_ms)
                said, said_at_ms = str(reason), now_ms
            pause_ms = backoff_ms if wait_ms is None else min(backoff_ms, wait_ms - waited_ms)
            await _unless(stopping, clock.sleep(pause_ms))
            backoff_ms = min(2 * backoff_ms, limits.BROKER_WAIT_BACKOFF_MS_MAX)
    return False


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` was done before `stopping` was set; it is cancelled otherwise."""
    doing, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            doing.result()
            return True
        return False
    finally:
        stopped.cancel()
        doing.cancel()
        abandon(doing)
