"""`python -m bench.load {…}`: asks for orders and waits for their outcomes; a process of its own, and a cheap one.

Without a `rate`, everything is sent at once and the throughput counts. With one it is an open loop: moments of
sending are fixed in advance, and a latency counts from the moment at which a request should have been sent, so that
a system that stalls does not get its load held back for it (no coordinated omission). `one_at_a_time` is a closed
loop: each request is sent when the one before it has ended, and what counts is how soon one saga is carried alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaConsumer

from bench import wire
from bench.figures import Spread, per_second, schedule, steady_rate
from bench.orders import MIXES, requests
from bench.process import Arguments, Word, begin, say

_SENT_AT_ONCE = 2_000
_OUTCOMES = {
    f"order.saga.{name}".encode(): name.upper() for name in ("completed", "compensated", "parked")
}  # fmt: skip


class Outcomes:
    """When each saga ended, as its events tell."""

    def __init__(self, consumer: AIOKafkaConsumer, wanted: set[bytes]) -> None:
        self._consumer = consumer
        self._wanted = wanted
        self.ended: dict[bytes, float] = {}
        self.states: Counter[str] = Counter()
        self.events = 0
        self._news = asyncio.Event()

    async def of(self, key: bytes) -> None:
        """Wait until the saga of `key` has ended."""
        while key not in self.ended:
            self._news.clear()
            await self._news.wait()

    async def collect(self) -> None:
        """Read until all that are wanted have ended."""
        while len(self.ended) < len(self._wanted):
            batches = await self._consumer.getmany(timeout_ms=1_000)
            now = time.perf_counter()
            for records in batches.values():
                self.events += len(records)
                for record in records:
                    self._take(record, now)
            self._news.set()

    def _take(self, record: Any, now: float) -> None:
        for name, value in record.headers:
            if name == "ce_type":
                state = _OUTCOMES.get(value)
                if state is not None and record.key in self._wanted and record.key not in self.ended:
                    self.ended[record.key] = now
                    self.states[state] += 1
                return


async def main(arguments: Arguments, word: Word) -> None:
    rows = list(
        requests(arguments["run"], arguments["count"], MIXES[arguments["mix"]], first=arguments.get("first", 0))
    )
    consumer = wire.new_consumer(arguments["bootstrap"])
    async with wire.new_producer(arguments["bootstrap"]) as producer, consumer:
        await wire.follow(consumer, [arguments["events"]], from_end=True)
        outlet = await wire.Outlet.to(producer, arguments["requests"])
        outcomes = Outcomes(consumer, {key for key, _ in rows})
        rate = arguments.get("rate")
        planned = schedule(len(rows), rate, seed=len(rows)) if rate else [0.0] * len(rows)
        say({"event": "ready"})
        await word.heard()
        start = time.perf_counter()
        collecting = asyncio.create_task(outcomes.collect())
        late: dict[str, Any] = {}
        sent_s = 0.0
        with contextlib.suppress(TimeoutError):  # what is missing shows in the counts
            async with asyncio.timeout(arguments["timeout_s"]):
                if arguments.get("one_at_a_time"):
                    await _one_at_a_time(outlet, rows, planned, start, outcomes)
                else:
                    late = await (_paced(outlet, rows, planned, start) if rate else _flood(outlet, rows))
                sent_s = time.perf_counter() - start
                await collecting
    say({"event": "result", **_result(rows, planned, start, outcomes), "sent_s": sent_s, **late})


async def _flood(outlet: wire.Outlet, rows: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    for first in range(0, len(rows), _SENT_AT_ONCE):
        await outlet.publish(rows[first : first + _SENT_AT_ONCE])
    return {}


async def _paced(
    outlet: wire.Outlet, rows: list[tuple[bytes, bytes]], planned: list[float], start: float
) -> dict[str, Any]:
    """Send each row at its moment; how late that was is told, since the latencies contain it."""
    late_ms: list[float] = []
    stored: list[asyncio.Future[Any]] = []
    for row, moment in zip(rows, planned, strict=True):
        await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))  # 0 lets others run, too
        stored.append(await outlet.send(*row))
        late_ms.append((time.perf_counter() - start - moment) * 1000)
    await asyncio.gather(*stored)
    return {"send_late_ms": Spread.of(late_ms).rounded()}


async def _one_at_a_time(
    outlet: wire.Outlet, rows: list[tuple[bytes, bytes]], planned: list[float], start: float, outcomes: Outcomes
) -> None:
    """Send each row when the saga before it has ended; `planned` becomes the moments at which that was."""
    for number, row in enumerate(rows):
        planned[number] = time.perf_counter() - start
        await outlet.send(*row)
        await outcomes.of(row[0])


def _result(rows: list[tuple[bytes, bytes]], planned: list[float], start: float, outcomes: Outcomes) -> dict[str, Any]:
    moments = sorted(at - start for at in outcomes.ended.values())
    found: dict[str, Any] = {
        "count": len(rows),
        "ended": len(moments),
        "states": dict(outcomes.states),
        "events_read": outcomes.events,
    }
    if not moments:
        return found
    latencies = [
        (outcomes.ended[key] - start - moment) * 1000
        for (key, _), moment in zip(rows, planned, strict=True)
        if key in outcomes.ended
    ]
    return found | {
        "seconds": moments[-1],
        "per_s": len(moments) / moments[-1],
        "steady_per_s": steady_rate(moments),
        "per_second": per_second(moments),
        "latency_ms": Spread.of(latencies).rounded(),
    }


if __name__ == "__main__":
    begin(main)
