"""aiokafka's consumer with three habits changed, for which it has no settings."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import PartitionRecords

TURNS = 4
"""Turns of the event loop for which asking for more is held back. It would be prepared in the second and sent in the
third; what a poll's taker publishes at once takes five to be on its way."""

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


class Fetching(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """A consumer without a group that knows `topics` once it has started, and lets answers go out first.

    It finds out about its topics by one request. Otherwise, asked for offsets, it does so one by one, with a pause
    after each: ten seconds for a hundred topics.

    It asks for more only when what follows from the last records is on its way, which it otherwise does first: 0.2 ms
    of each hop of a lone message. Where many messages come it makes no difference: what was taken is handled within
    the first turn.
    """

    def __init__(self, topics: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        self._known_topics = tuple(topics)

    async def start(self) -> None:
        await super().start()
        await self._client.set_topics(self._known_topics)
        self._fetcher._notify = _answers_first(self._fetcher)  # noqa: SLF001


def _answers_first(fetcher: Any) -> Callable[[asyncio.Future[None] | None], None]:
    """What tells `fetcher` that its records were taken, `TURNS` turns later."""
    notify = fetcher._notify  # noqa: SLF001
    loop = asyncio.get_running_loop()

    def notify_later(future: asyncio.Future[None] | None, turns: int = TURNS) -> None:
        # Once the fetcher has gone on for another reason it has seen what was taken, and waits for another future.
        if turns and future is fetcher._wait_consume_future:  # noqa: SLF001
            loop.call_soon(notify_later, future, turns - 1)
        else:
            notify(future)

    return notify_later
