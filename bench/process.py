"""How a process of the benchmark begins: one JSON object as its argument, `ready`, and then its work.

It ends when its standard input does, so that nothing outlives the benchmark however that ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from kafka_saga.runtime.process import new_loop

Arguments = dict[str, Any]


class Word:
    """What the parent says on standard input, line by line; its end ends this process at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._said = asyncio.Event()
        threading.Thread(target=self._listen, name="word", daemon=True).start()

    async def heard(self) -> None:
        """Wait for the next line."""
        await self._said.wait()
        self._said.clear()

    def _listen(self) -> None:
        while os.read(0, 1024):
            self._loop.call_soon_threadsafe(self._said.set)
        os._exit(0)


def say(what: dict[str, Any]) -> None:
    """One JSON line on standard output."""
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.buffer.flush()


def begin(main: Callable[[Arguments, Word], Awaitable[None]]) -> None:
    """Run `main` with the process's argument."""

    # Right after topics were created aiokafka complains that a leader is not known yet, and asks again by itself.
    logging.getLogger("aiokafka.consumer.fetcher").setLevel(logging.CRITICAL)

    async def run() -> None:
        await main(orjson.loads(sys.argv[1]), Word())

    with asyncio.Runner(loop_factory=new_loop) as runner:  # the loop of the processes that are measured
        runner.run(run())
