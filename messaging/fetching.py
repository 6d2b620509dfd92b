"""What aiokafka's consumer is told beside its settings: its topics, and to let answers go out before it asks for more.

aiokafka asks its broker for more as soon as a poll has taken what was there. Who handled that at once has something
to publish, which takes five turns of the event loop to be on its way; the request for more is prepared in the second
and sent in the third, which took 0.2 ms of each hop of a lone message. So it is held back for four turns. Where many
messages come it makes no difference: what was taken is handled within the first of these turns.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import PartitionRecords

from messaging.waiting import within
from runtime.limits import REQUEST_TIMEOUT_MS

TURNS = 4


_unpack = PartitionRecords._unpack_records  # noqa: SLF001


def _unpack_weakly(records: PartitionRecords) -> Iterator[Any]:
    unpacked: Iterator[Any] = _unpack(weakref.proxy(records))
    return unpacked


def install() -> None:
    """Have fetched records that are dropped freed at once.

    Each partition's records, up to a megabyte, and the generator that unpacks them refer to each other. Those that are
    dropped halfway, because their partition was paused (R20), would wait for the search for garbage, which counts
    objects and not bytes: a flood of 200,000 requests took 1.2 GB.
    """
    PartitionRecords._unpack_records = _unpack_weakly  # noqa: SLF001


async def all_known(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> AIOKafkaConsumer:
    """`consumer`, which was started, once it knows its topics, all by one request.

    Asked for offsets it finds out about them one by one, with a pause after each: ten seconds for a hundred topics.

    Raises:
        BrokerUnavailableError: no answer within REQUEST_TIMEOUT_MS.

    """

    async def ask() -> None:
        await consumer._client.set_topics(topics)  # noqa: SLF001 -- without a group only `assign` says them

    await within(REQUEST_TIMEOUT_MS, "reading which topics there are", ask())
    return consumer


def answers_first(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """`consumer`, which was started, with its requests for more held back by `TURNS` turns of the event loop."""
    fetcher = consumer._fetcher  # noqa: SLF001 -- it has no setting for this
    notify = fetcher._notify  # noqa: SLF001
    loop = asyncio.get_running_loop()

    def notify_later(future: asyncio.Future[None] | None, turns: int = TURNS) -> None:
        # Once the fetcher has gone on for another reason it has seen what was taken, and waits for another future.
        if turns and future is fetcher._wait_consume_future:  # noqa: SLF001
            loop.call_soon(notify_later, future, turns - 1)
        else:
            notify(future)

    fetcher._notify = notify_later  # noqa: SLF001
    return consumer
