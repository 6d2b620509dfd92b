"""Waiting for Kafka with a deadline, without ever cancelling it.

aiokafka's calls can hang while brokers are away, and some break when they are cancelled. So each runs as a
task of its own; when the deadline passes we stop waiting and let the task end by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from kafka_saga.messaging.broken_writes import is_refused_write
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.telemetry import log

_log = log("messaging")
_T = TypeVar("_T")

SEND_TURNS = 10
"""Turns of the event loop until messages that a publisher was given are on the wire: its own, the producer's and those
of aiokafka's sender are six (0.14)."""

# The loop holds tasks weakly: one that nobody else refers to could vanish half done.
_abandoned: set[asyncio.Task[Any]] = set()


def abandon(task: asyncio.Task[Any]) -> None:
    """Let `task` end in its own time; what it returns or raises no longer matters to anyone."""
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.debug("kafka.abandoned_call_failed", error=repr(task.exception()))


async def let_send() -> None:
    """Give way to the publisher, a task of its own, until what it was just given is on the wire.

    A loop that always finds its next batch waiting would otherwise take that first, and keep everybody who waits for
    this one's messages idle for as long.
    """
    for _ in range(SEND_TURNS):
        await asyncio.sleep(0)  # noqa: TID251 -- no time passes


async def within(timeout_ms: int, what: str, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, a call to Kafka that `what` describes for people (`reading end offsets`).

    Raises:
        BrokerUnavailableError: no answer within `timeout_ms` milliseconds, or the connection failed.
        IncompatibleBrokerVersion: the broker does not offer this request at all.

    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_ms / 1000)
    except asyncio.CancelledError:
        abandon(task)
        raise
    if not done:
        abandon(task)
        raise BrokerUnavailableError(f"{what}: no answer from Kafka within {timeout_ms} ms")
    try:
        return task.result()
    except IncompatibleBrokerVersion:
        raise  # the broker answered: it does not know this request
    except (TimeoutError, KafkaError, OSError) as error:
        raise BrokerUnavailableError(f"{what}: {describe(error)}") from error
    except RuntimeError as error:
        if not is_refused_write(error):
            raise
        raise BrokerUnavailableError(f"{what}: the connection was closed") from error


def describe(error: BaseException) -> str:
    """An error of Kafka's as a phrase: its text, or its class's name when it has none."""
    return str(error) or type(error).__name__
