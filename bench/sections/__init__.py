"""What is measured, section by section, in the order in which it is worth having."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.run import Bench
from bench.sections import costs, speed, stores

SECTIONS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "throughput": speed.throughput,
    "limit": speed.limit,
    "latency": speed.latency,
    "start": stores.start,
    "costs": costs.costs,
    "partitions": speed.partitions,
    "timers": stores.timers,
    "recovery": stores.recovery,
    "finished": stores.finished,
    "memory": costs.memory,
}
SHORT_SECTIONS = ("throughput", "limit", "latency")
